"""`reprise verify` as its users meet it: files in, files and a table out, killed and continued, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from answer_files import answer, verdicts, write

from reprise.core.printable import printable_lines
from reprise.launch.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TRACED = "rewards.verifiers.traced={{use: 'answer_files:Traced', args: {{trace: {trace}, seconds: {seconds}}}, {more}}}"


def traced(tmp_path: Path, seconds: float = 0.0, more: str = "") -> list[str]:
    return ["--set", TRACED.format(trace=tmp_path / "trace", seconds=seconds, more=more)]


def files(source: Path) -> list[str]:
    return ["--input", str(source), "--output", str(source.with_name("v.jsonl"))]


def mixed(n: int) -> list[dict[str, Any]]:
    """Answers of two domains, ids twice each, right, wrong and without an answer by turns."""
    responses = ["<ans>4</ans>", "<ans>5</ans>", "4"]
    return [answer(f"t{i // 2}", responses[i % 3], domain=("sums", "more")[i % 2]) for i in range(n)]


@pytest.mark.slow
def test_a_file_is_verified_in_its_order_with_a_table_by_domain(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = write(tmp_path / "a.jsonl", mixed(60))
    assert main(["verify", *files(source)]) == 0
    found = verdicts(tmp_path / "v.jsonl")
    assert [verdict["id"] for verdict in found] == [f"t{i // 2}" for i in range(60)]
    assert found[:3] == [
        {"id": "t0", "status": "scored", "score": 1.0, "detail": {"reason": "correct"}},
        {"id": "t0", "status": "scored", "score": 0.0, "detail": {"reason": "wrong"}},
        {"id": "t1", "status": "unparseable", "score": None, "detail": {"reason": "no_answer"}},
    ]
    table = capsys.readouterr().out.splitlines()
    assert ["all", "60", "40", "(67%)", "0.500", "20", "(33%)", "0"] in [line.split()[:8] for line in table]
    assert {line.split()[0] for line in table if " 30 " in line} == {"more", "sums"}


@pytest.mark.slow
def test_a_recipe_says_who_verifies_and_how_and_need_say_nothing_else(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("rewards: {verifiers: {mine: {use: exact, args: {tag: answer}}}}")
    source = write(tmp_path / "a.jsonl", [answer(response="<answer>4</answer>", verifier="mine")])
    assert main(["verify", "--recipe", str(recipe), *files(source)]) == 0
    assert verdicts(tmp_path / "v.jsonl")[0]["score"] == 1


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = write(tmp_path / "a.jsonl", [answer(domain="[red]x[/y]")])
    assert main(["verify", "--dry-run", *files(source)]) == 0
    assert "[red]x[/y]" in capsys.readouterr().out


def test_what_stands_in_a_file_of_answers_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    evil = "\x1b[2J\x9b31m\u202e\ud800"
    source = write(
        tmp_path / "a.jsonl", [answer(domain=f"sums{evil}"), answer(evil, verifier="code", answer={evil: 1})]
    )
    assert main(["verify", *files(source)]) == 2
    notes = capsys.readouterr().err
    source = write(tmp_path / "a.jsonl", [answer(evil, domain=f"sums{evil}")])
    assert main(["verify", "--dry-run", *files(source)]) == 0
    assert main(["verify", *files(source)]) == 0
    assert main(["verify", *files(source)]) == 0
    said = capsys.readouterr()
    for text in (notes, said.out, said.err):
        assert text == printable_lines(text)
    assert "sums�[2J" in said.out
    assert verdicts(tmp_path / "v.jsonl")[0]["id"] == evil, "files keep what was asked"


def test_a_dry_run_checks_and_counts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = write(tmp_path / "a.jsonl", mixed(7))
    assert main(["verify", "--dry-run", *files(source)]) == 0
    out = capsys.readouterr().out
    assert ["sums", "exact", "4"] in [line.split() for line in out.splitlines()]
    assert "7 answers can be verified" in out
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("answers", "arguments", "message"),
    [
        ([answer(answer=None)], [], "a.jsonl:1: task '1': answer must be a string"),
        ([answer(verifier="mth")], [], "a.jsonl:1: verifier 'mth' is not in rewards.verifiers; did you mean 'math'?"),
        ([answer()], ["--set", "rewards.verifiers.exact.args.tagg=x"], "args.tagg: ExactVerifier takes no such"),
        (
            [answer()],
            ["--set", "reward.retries=3"],
            "--set reward.retries=3: reward: no such key; did you mean rewards?",
        ),
        ([answer()], ["--recipe", "nowhere.yaml"], "there is no recipe nowhere.yaml"),
        ([answer()], ["--output", "/dev/null"], "--output /dev/null is no file"),
        ([answer()], ["--output", "no/folder/v"], "--output no/folder/v: there is no folder no/folder"),
    ],
)
def test_bad_input_exits_2_with_a_clear_message_and_verifies_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture, answers: list, arguments: list[str], message: str
) -> None:
    source = write(tmp_path / "a.jsonl", answers)
    assert main(["verify", *files(source), *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_what_a_verifier_prints_goes_to_a_bounded_file_and_one_that_verifies_nothing_fails_the_command(
    tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.launch.verify.printed.MOST_BYTES", 1000)
    source = write(tmp_path / "a.jsonl", [answer(verifier="loud")])
    assert main(["verify", *files(source), "--set", "rewards.verifiers.loud.use=answer_files:Loud"]) == 1
    said = capfd.readouterr()
    assert "reprise: the run failed: not one answer could be verified (infra_error)" in said.err
    assert "What verifiers printed is in" in said.out
    assert "v.jsonl.printed" in said.out.replace("\n", "")
    assert "\x1b" not in said.out + said.err
    assert (tmp_path / "v.jsonl.printed").read_bytes() == (b"\x1b[2J" * 300)[:1000]


def test_the_output_is_not_the_input(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = write(tmp_path / "a.jsonl", [answer()])
    assert main(["verify", "--input", str(source), "--output", str(tmp_path / "." / "a.jsonl")]) == 2
    assert "is --input itself" in capsys.readouterr().err
    assert json.loads(source.read_text()) == answer()


# --- continued --------------------------------------------------------------------------------------------------------


def start(arguments: list[str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-m", "reprise", "verify", *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(arguments: list[str]) -> tuple[int, str, str]:
    process = start(arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(path: Path, n: int) -> None:
    end = time.monotonic() + 60
    while count_lines(path) < n:
        assert time.monotonic() < end, f"{path} did not get {n} lines"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_each_answer_has_one_verdict(tmp_path: Path) -> None:
    answers = [answer(f"t{i}", verifier="traced") for i in range(600)]
    arguments = [*files(write(tmp_path / "a.jsonl", answers)), *traced(tmp_path, seconds=0.005)]
    output, trace = tmp_path / "v.jsonl", tmp_path / "trace"
    for n in (100, 300):
        process = start(arguments)
        wait_for_lines(output, n)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert n <= count_lines(output) < 600
        time.sleep(0.3)
        verified = count_lines(trace)
        time.sleep(0.3)
        assert count_lines(trace) == verified, "the verifier's process must end with the one that was killed"
    with output.open("ab") as file:
        file.write(b'{"id": "t')  # as if the kill had cut a line in two
    before = count_lines(output)
    code, out, err = finish(arguments)
    assert code == 0, err
    assert [verdict["id"] for verdict in verdicts(output)] == [f"t{i}" for i in range(600)]
    assert f"{before} of 600 answers had their verdict" in out
    assert "what a verifier prints" not in out
    assert "Note: verifier traced: leaves a trace" in out
    times = Counter(trace.read_text().split())
    assert set(times) == {f"t{i}" for i in range(600)}
    assert all(times[f"t{i}"] == 1 for i in range(before, 600) if i > before + 16), (
        "what was not in hand is verified once"
    )


@pytest.mark.slow
def test_sigterm_keeps_what_is_verified_and_says_how_to_go_on(tmp_path: Path) -> None:
    answers = [answer(f"t{i}", verifier="traced") for i in range(300)]
    process = start([*files(write(tmp_path / "a.jsonl", answers)), *traced(tmp_path, seconds=0.02)])
    wait_for_lines(tmp_path / "v.jsonl", 30)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command continues" in err
    assert "Traceback" not in err
    assert 30 <= len(verdicts(tmp_path / "v.jsonl")) < 300


@pytest.mark.slow
def test_new_answers_to_old_tasks_do_not_get_the_old_verdicts(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [answer("1"), answer("2")])
    assert main(["verify", *files(source)]) == 0
    before = (tmp_path / "v.jsonl").read_bytes()
    write(source, [answer("1"), answer("2", "<ans>5</ans>")])
    assert main(["verify", *files(source)]) == 2
    assert (tmp_path / "v.jsonl").read_bytes() == before
    write(source, [answer("1"), answer("2"), answer("3", "<ans>5</ans>")])
    assert main(["verify", *files(source)]) == 0
    assert [verdict["score"] for verdict in verdicts(tmp_path / "v.jsonl")] == [1, 1, 0]


@pytest.mark.slow
def test_an_answer_that_hangs_or_kills_its_verifier_costs_only_itself(tmp_path: Path) -> None:
    responses = ["ok"] * 40
    responses[5], responses[30] = "hang", "die"
    answers = [answer(f"t{i}", response, verifier="traced") for i, response in enumerate(responses)]
    code, _, err = finish([*files(write(tmp_path / "a.jsonl", answers)), *traced(tmp_path, more="deadline_s: 1.5")])
    assert code == 0, err
    found = verdicts(tmp_path / "v.jsonl")
    odd = {i: (v["status"], v["score"], v["detail"]["reason"]) for i, v in enumerate(found) if v["score"] != 1}
    assert odd == {5: ("scored", 0.0, "timeout"), 30: ("infra_error", None, "infra")}


@pytest.mark.slow
def test_infra_errors_are_verified_again_when_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [answer("1", "fail", verifier="traced"), answer("2", verifier="exact")])
    code, out, err = finish([*files(source), *traced(tmp_path), "--set", "rewards.retries=0"])
    assert (code, "1 could not be verified (infra_error): --retry-infra" in out) == (0, True), err
    assert "infra_error, 1 answer: verifier 'traced' raised OSError: disk full (answer_files.py:" in out
    assert 'raise OSError("disk full")' in err, "the traceback is shown when it happens"
    assert [v["status"] for v in verdicts(tmp_path / "v.jsonl")] == ["infra_error", "scored"]
    (tmp_path / "trace").unlink()
    code, out, err = finish([*files(source), *traced(tmp_path), "--set", "rewards.retries=0", "--retry-infra"])
    assert code == 0, err
    assert (tmp_path / "trace").read_text() == "1\n"
    assert [v["id"] for v in verdicts(tmp_path / "v.jsonl")] == ["1", "2"]
