"""The two files of `reprise verify`: answers are refused with file, line and field; verdicts show how far one got."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from answer_files import answer, write

from reprise.core.errors import RunError, UserError
from reprise.core.types import Verdict
from reprise.launch.verify import answers, origin
from reprise.launch.verify.origin import Origin
from reprise.launch.verify.verdicts import VerdictFile, check_order, recorded, to_line
from reprise.rewards.verifiers.exact import ExactVerifier

VERIFIERS = {"exact": ExactVerifier()}
RIGHT = Verdict.scored(1.0, "correct")


# --- answers ----------------------------------------------------------------------------------------------------------


def test_answers_are_read_back_in_order_and_ids_may_repeat(tmp_path: Path) -> None:
    file = write(tmp_path / "a", [answer("1", "x"), answer("1", "y", truncated=True), answer("2", "\ud800")])
    file.write_text(file.read_text() + "\n\n")  # blank lines are no answers
    assert [asked.id for asked in answers.check(file, VERIFIERS).asked] == ["1", "1", "2"]
    assert [(a.text, a.truncated) for a in answers.read(file, [0, 1, 2])] == [
        ("x", False),
        ("y", True),
        ("\ud800", False),
    ]
    assert [a.text for a in answers.read(file, [1])] == ["y"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "a:2: not valid JSON"),
        ("[]", "a:2: an answer is an object"),
        ("[" * 100_000, "a:2: nested too deeply"),
        ('{"n": 1' + "0" * 5000 + "}", "a:2: a whole number has more than 4,300 digits; write it as a string"),
        ('{"task": 1, "response": "x", "task": 2}', "a:2: the key 'task' stands twice in one object"),
        ('{"task": {"a": {"b": 1, "b": 1}}}', "a:2: the key 'b' stands twice"),
        (json.dumps({"response": "x"}), "a:2: field 'task' is missing"),
        (json.dumps({"task": answer()["task"]}), "a:2: field 'response' is missing"),
        (json.dumps({**answer(), "response": 4}), "a:2: field 'response' must be a string, not 4"),
        (json.dumps({**answer(), "truncate": True}), "a:2: unknown field 'truncate'"),
        (json.dumps(answer(truncated="no")), "a:2: field 'truncated' must be true or false, not 'no'"),
        (json.dumps({**answer(), "task": "1"}), "a:2: task: a task is a JSON object"),
        (json.dumps({**answer(), "task": {"id": "1"}}), "a:2: task: field 'prompt' is missing"),
        (json.dumps(answer(answr="4")), "a:2: task: unknown field 'answr'"),
        (
            json.dumps(answer(verifier="exakt")),
            "a:2: verifier 'exakt' is not in rewards.verifiers; did you mean 'exact'?",
        ),
        (json.dumps(answer(answer=None)), "a:2: task '1': answer must be a string or a list"),
    ],
)
def test_a_line_that_cannot_be_verified_is_refused_with_its_place_and_field(
    tmp_path: Path, line: str, message: str
) -> None:
    file = write(tmp_path / "a", [answer()])
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(UserError) as refused:
        answers.check(file, VERIFIERS)
    assert message in str(refused.value)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'{"task": "\xff"}\n')
    with pytest.raises(UserError, match="a:1: not UTF-8"):
        answers.check(tmp_path / "a", VERIFIERS)


def test_all_bad_lines_are_named_at_once_but_not_without_end(tmp_path: Path) -> None:
    file = write(tmp_path / "a", [answer(), *[answer(answer=None)] * 30])
    with pytest.raises(UserError) as refused:
        answers.check(file, VERIFIERS)
    lines = str(refused.value).splitlines()
    assert (len(lines), lines[0][:10], lines[-1]) == (11, str(file)[:10], "... and 20 more lines")


def test_a_verifier_that_there_is_not_is_said_once_with_what_would_add_it(tmp_path: Path) -> None:
    file = write(tmp_path / "a", [answer(verifier="mine")] * 30)
    with pytest.raises(UserError) as refused:
        answers.check(file, VERIFIERS)
    first, second = str(refused.value).splitlines()
    assert first.endswith("--set rewards.verifiers.mine.use=./my_rewards.py:name would add it")
    assert second == f"{file}: 30 answers name the verifier 'mine'"


def test_a_file_without_answers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("\n")
    with pytest.raises(UserError, match="holds no answers"):
        answers.check(tmp_path / "a", VERIFIERS)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_verdict_is_one_line_whatever_a_verifier_put_into_its_detail() -> None:
    odd = Verdict.scored(0.5, "partial", nan=float("nan"), thing={1, 2}, text="\ud800\n", list=[1])
    line = to_line("1", odd)
    assert line.count(b"\n") == 1
    assert json.loads(line, parse_constant=pytest.fail) == {
        "id": "1",
        "status": "scored",
        "score": 0.5,
        "detail": {"reason": "partial", "nan": "nan", "thing": "{1, 2}", "text": "\ud800\n", "list": [1]},
    }


def test_a_verdict_without_a_reason_is_counted_by_its_status() -> None:
    assert json.loads(to_line("1", Verdict.unparseable()))["detail"] == {"reason": "unparseable"}


def lines(*ids: str) -> bytes:
    return b"".join(to_line(task_id, RIGHT) for task_id in ids)


@pytest.mark.parametrize("cut", range(1, len(lines("3"))))
def test_whatever_a_killed_run_left_of_its_last_line_is_removed(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "v"
    path.write_bytes(lines("1", "2") + lines("3")[:cut])
    assert [verdict.id for verdict in recorded(path)] == ["1", "2"]
    with VerdictFile(path) as file:
        assert [verdict.id for verdict in file.recorded] == ["1", "2"]
        file.append([lines("3")])
    assert path.read_bytes() == lines("1", "2", "3")


@pytest.mark.parametrize(
    "content",
    [
        b"precious",
        b"precious\n",
        b'{"id": 1}\n',
        lines("1") + b"precious",
        b"\0" * 10,
        json.dumps(answer()).encode() + b"\n",
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a verdict"):
        VerdictFile(path)
    assert path.read_bytes() == content


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with VerdictFile(tmp_path / "v"), pytest.raises(UserError, match="another `reprise verify`"):
        VerdictFile(tmp_path / "v")


def test_verdicts_are_replaced_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "v"
    path.write_bytes(lines("1", "2", "3"))
    with VerdictFile(path) as file:
        file.replace({1: to_line("2", Verdict.scored(0.0, "wrong"))})
    assert [(verdict.id, verdict.score) for verdict in recorded(path)] == [("1", 1), ("2", 0), ("3", 1)]
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_a_draft_is_a_new_file_of_its_own_with_the_modes_that_were_there(tmp_path: Path) -> None:
    path, others = tmp_path / "v", tmp_path / "others"
    path.write_bytes(lines("1"))
    path.chmod(0o640)
    others.write_text("not to be touched")
    for known in ("v.new", f".v.{os.getpid()}", "v.origin.new"):  # in a shared folder links may wait where drafts were
        (tmp_path / known).symlink_to(others)
    with VerdictFile(path) as file:
        file.replace({0: to_line("1", Verdict.scored(0.0))})
        Origin(1, "", {}).write(path)
    assert others.read_text() == "not to be touched"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert recorded(path)[0].score == 0


@contextmanager
def file_size(most: int) -> Iterator[None]:
    """Bounds the files that this process may write, as a full disk does; pytest's own output, which may be one, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_says_so_and_the_same_command_goes_on(tmp_path: Path) -> None:
    path, line = tmp_path / "v", lines("1")
    message = r"v cannot be written: File too large; the verdicts so far are kept"
    with VerdictFile(path) as file, pytest.raises(RunError, match=message), file_size(len(line) + 9):
        file.append([line, lines("2")])
    with VerdictFile(path) as file:
        assert [verdict.id for verdict in file.recorded] == ["1"]


@pytest.mark.parametrize(
    ("ids", "message"), [(["1", "x", "3"], "v:2: this verdict is about task '2'"), (["1"], "has 2 ")]
)
def test_verdicts_of_other_answers_are_refused(tmp_path: Path, ids: list[str], message: str) -> None:
    path = tmp_path / "v"
    path.write_bytes(lines("1", "2"))
    with pytest.raises(UserError, match=message):
        check_order(path, recorded(path), ids)


# --- where verdicts came from -----------------------------------------------------------------------------------------


def came_from(file: Path) -> Origin:
    checked = answers.check(file, VERIFIERS)
    return Origin(len(checked.asked), checked.digests[len(checked.asked)], {"exact": {"use": "exact", "args": {}}})


def check_again(file: Path, target: Path, verifiers: dict[str, Any]) -> None:
    was = origin.read(target)
    assert was is not None
    origin.check(target, was, answers.check(file, VERIFIERS, [was.answers]).digests, verifiers)


def test_answers_may_be_added_at_the_end_but_not_changed(tmp_path: Path) -> None:
    first = [answer("1", "x"), answer("2", "y")]
    file = write(tmp_path / "a", first)
    came_from(file).write(tmp_path / "v")
    check_again(write(file, [*first, answer("3", "z")]), tmp_path / "v", {})
    for changed in ([answer("1", "x"), answer("2", "other")], [answer("1", "x")], [*first[::-1]]):
        with pytest.raises(UserError, match=r"verdicts of other answers: of the 2 .* delete .*v\.origin to go on"):
            check_again(write(file, changed), tmp_path / "v", {})


def test_a_verifier_with_other_settings_does_not_go_on_with_the_verdicts(tmp_path: Path) -> None:
    file = write(tmp_path / "a", [answer()])
    came_from(file).write(tmp_path / "v")
    check_again(file, tmp_path / "v", {"exact": {"use": "exact", "args": {}}, "new": {"use": "rules", "args": {}}})
    with pytest.raises(UserError, match=r"of rewards\.verifiers\.exact with .*, which now is .*casefold"):
        check_again(file, tmp_path / "v", {"exact": {"use": "exact", "args": {"casefold": True}}})


def test_a_file_without_an_origin_has_none(tmp_path: Path) -> None:
    assert origin.read(tmp_path / "v") is None
