"""The tables at the end of runs: whole at every width, and the same when they are asked for again."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from reprise.launch.cli import main
from reprise.launch.reporting import sft_summary_table
from reprise.launch.reporting.metrics import MetricsLog
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.sft_summary import SftSummary, StageResult
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.launch.reporting.summary import Summary, TrajectoryCounts
from reprise.launch.reporting.summary_table import table

WIDTHS = [60, 80, 110, 200]
LONG = "olympiad_geometry_in_three_dimensions_with_proofs"


def evaluation(passed: int) -> Evaluation:
    return Evaluation.of(
        EvalRecord(domain, f"{domain}-{i}", 0, i < passed, i != 99, False, 40) for domain in ("addition", LONG, "数学")
        for i in range(100)
    )  # fmt: skip


def summary(after: int | None = 80) -> Summary:
    made = Summary("demo", before=evaluation(40), after=None if after is None else evaluation(after), steps=80)
    made.trajectories = TrajectoryCounts(sampled=23_848, trained=30_440, reused=15_220, truncated=11_924)
    made.phases = {"set-up": 22.0, "warm start": 161.0, "before-eval": 4.0, "RL": 193.0, "after-eval": 10.0}
    made.nodes = {"gpu-01 (10.0.0.1)": ["learner 0", "engine 0"], "gpu-02 (10.0.0.2)": ["engine 1"]}
    made.tasks = {"train": 6000, "held_out": 300, "excluded": 12}
    made.wall_seconds = 390.0
    made.finished()
    return made


def sft_summary(stages: int = 3) -> SftSummary:
    losses = dict.fromkeys(("addition", LONG), 1.25)
    made = SftSummary("sft", steps=30, eval_before=losses)
    made.stages = [StageResult(f"stage-{i}-of-the-curriculum", 10, 12_345, 2.5, 1.5, losses) for i in range(stages)]
    made.finished()
    return made


def printed(what: RenderableType, width: int = 200) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(what)
    assert all(len(line) <= width for line in stream.getvalue().splitlines())
    return stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_names_and_intervals_are_whole_at_every_width(width: int) -> None:
    text = printed(summary().table(), width)
    values: Any = summary().as_dict()
    row = values["pass_at_1_interval"]["after"]["addition"]
    assert "–".join(f"{end:.2f}" for end in row) in text
    change = summary().changes["addition"]
    assert f"{100 * change.low:+.1f} … {100 * change.high:+.1f}" in text
    for whole in (LONG, "数学", "+40.0", "0.400", "0.800", "warm start 2m41s", "gpu-02 (10.0.0.2): 1 actor"):
        assert whole in text
    assert "…" not in text.replace(" … ", "")


@pytest.mark.parametrize("width", WIDTHS)
def test_losses_of_many_stages_are_whole_at_every_width(width: int) -> None:
    text = printed(sft_summary().table(), width)
    for whole in (LONG, "1.2500", "after stage-2-of-the-curriculum", "12,345 tokens trained", "loss 2.5000 → 1.5000"):
        assert whole in text
    assert "…" not in text


def test_a_run_without_an_evaluation_after_it_shows_the_one_before_at_every_width() -> None:
    for width in WIDTHS:
        assert "0.400" in printed(summary(after=None).table(), width)


def test_what_was_not_measured_is_a_dash_and_no_zero() -> None:
    text = printed(Summary("early").table())
    assert "learning –  overlap –  learner idle –  engine idle –  – tokens/s" in text
    assert "0 tokens/s" not in printed(SftSummary("early").table())


def test_how_much_was_cut_off_and_what_was_left_out_of_training_is_shown() -> None:
    text = printed(summary().table())
    assert "11,924, 50% of those sampled" in text
    assert "12 left out of training: they are held out" in text


@pytest.mark.parametrize("made", [summary(), sft_summary()], ids=["rl", "sft"])
def test_reprise_report_shows_the_table_again(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder.create(tmp_path, made.name)
    made.write(run)
    run.metrics.touch()
    assert main(["report", str(run.path)]) == 0
    shown = capsys.readouterr().out
    at_its_end = printed(made.table(), 120)
    assert shown.startswith(at_its_end)
    assert shown.endswith(f"report   {run.report}\n")


@pytest.mark.parametrize("made", [summary(), sft_summary()], ids=["rl", "sft"])
def test_reprise_report_says_how_a_run_that_ended_early_goes_on(made: Any, tmp_path: Path, capsys) -> None:
    run = RunFolder.create(tmp_path, made.name)
    made.failed(KeyboardInterrupt())
    made.resume = f"reprise train --resume {run.path}"
    made.write(run)
    run.metrics.touch()
    main(["report", str(run.path)])
    assert capsys.readouterr().out.endswith(f"resume   {made.resume}\n")


def test_reprise_report_says_what_it_could_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder.create(tmp_path, "demo")
    run.metrics.touch()
    run.summary.write_text("{\x1b")
    assert main(["report", str(run.path)]) == 0
    assert "missing  summary.json is not valid JSON" in capsys.readouterr().out


@pytest.mark.parametrize("made", [summary(), sft_summary()], ids=["rl", "sft"])
def test_a_run_that_failed_counts_among_its_failures(made: Any) -> None:
    assert "failures      the run itself" not in printed(made.table(), 120)
    made.failed(RuntimeError("lost"))
    assert re.search(r"failures +the run itself", printed(made.table(), 120))


def test_answers_that_were_lost_are_counted_in_words() -> None:
    said = printed(table({"infra_errors": [{"what": "a", "answers": n} for n in (0, 1, 2)]}), 120)
    for words in ("verifying again helped: a", "1 answer: a", "2 answers: a"):
        assert words in said


def test_a_run_that_goes_on_is_running_and_one_that_was_killed_is_not(tmp_path: Path, capsys) -> None:
    run = RunFolder.create(tmp_path, "demo")
    with MetricsLog(run.metrics):
        summary(after=None).write(run, running=True)
        main(["report", str(run.path)])
        assert "demo: running at 80 steps" in capsys.readouterr().out
    assert json.loads(run.summary.read_text())["status"] == "running"
    main(["report", str(run.path)])
    out = capsys.readouterr().out
    assert "demo: interrupted after 80 steps" in out
    assert "its process ended without a word" in out


def test_the_table_of_a_run_whose_folder_is_not_ours_is_shown(tmp_path: Path, capsys, monkeypatch) -> None:
    run = RunFolder.create(tmp_path, "demo")
    summary().write(run)
    run.metrics.touch()

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("reprise.launch.reporting.report.write_atomically", refuse)
    assert main(["report", str(run.path)]) == 2
    out, err = capsys.readouterr()
    assert "demo: finished after 80 steps" in out
    assert err == f"reprise: {run.report} cannot be written: Permission denied\n"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**400) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["all", "before", "name"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(list(Summary("x").as_dict())), values, max_size=6))
def test_no_value_in_a_summary_can_stop_the_table(held: dict[str, Any]) -> None:
    printed(table(held), 60)


@given(st.dictionaries(st.sampled_from(list(SftSummary("x").as_dict())), values, max_size=6))
def test_no_value_in_a_supervised_summary_can_stop_the_table(held: dict[str, Any]) -> None:
    printed(sft_summary_table.table(held), 60)
