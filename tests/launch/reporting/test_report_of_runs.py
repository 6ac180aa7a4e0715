"""The report says nothing false of any run: one that goes on, was killed, failed, was resumed, is supervised."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_report import Structure, evaluation, values

from reprise.launch.reporting.metrics import CORE, SFT_NAMES, MetricsLog
from reprise.launch.reporting.report import write_report
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.sft_summary import SftSummary, StageResult
from reprise.launch.reporting.summary import Summary


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path, "demo")
    made.recipe.write_text("name: demo\n")
    made.metrics.touch()
    return made


def report(run: RunFolder) -> Structure:
    return Structure(write_report(run.path).read_text())


def sft_log(run: RunFolder, steps: int) -> MetricsLog:
    run.recipe.write_text("name: demo\nstages:\n- {}\n")
    log = MetricsLog(run.metrics, SFT_NAMES)
    log.write(0, {"eval/loss/addition": 2.0})
    for step in range(1, steps + 1):
        log.write(step, dict.fromkeys(SFT_NAMES.core, 0.5) | {"data/share/a": 1.0})
    return log


def rl_log(run: RunFolder, steps: int) -> MetricsLog:
    log = MetricsLog(run.metrics)
    log.write(0, evaluation(20).metrics())
    for step in range(1, steps + 1):
        log.write(step, dict.fromkeys(CORE, 0.5))
    return log


KINDS: dict[str, Callable[[RunFolder, int], MetricsLog]] = {"rl": rl_log, "sft": sft_log}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_goes_on_is_called_so_and_lacks_nothing(run: RunFolder, kind: str) -> None:
    with KINDS[kind](run, 3):
        before_its_first_summary = report(run)
        made: Any = Summary("demo", before=evaluation(20)) if kind == "rl" else SftSummary("demo")
        made.steps, made.wall_seconds = 3, 60.0
        run.samples.touch()  # which an evaluation leaves before it is summed up
        made.write(run, running=True)
        later = report(run)
    for page in (before_its_first_summary, later):
        assert "demorunning" in page.text
        assert "Not everything is here" not in page.text
        assert "Why it ended" not in page.text
        assert "3 steps" in page.text
    assert "in 1m00s so far" in later.text
    if kind == "rl":
        assert "not measured yet" in before_its_first_summary.text
        assert "40.0%held-out pass@1, all domains, before training; not over yet" in later.text
        assert "not measured" not in later.text
        assert later.text.count("–") < 20, "tiles of what is not known are left away"


def test_a_run_that_was_killed_is_interrupted_and_says_what_was_known(run: RunFolder) -> None:
    with rl_log(run, 3):
        Summary("demo", before=evaluation(20), steps=3).write(run, running=True)
    text = report(run).text
    assert "demointerrupted" in text
    assert "its process ended without a word" in text
    assert "40.0%" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_without_held_out_tasks_lacks_no_samples(run: RunFolder, kind: str) -> None:
    KINDS[kind](run, 1).close()
    made: Any = Summary("demo", steps=1) if kind == "rl" else SftSummary("demo", steps=1)
    made.finished()
    made.write(run)
    page = report(run)
    assert "samples.jsonl" not in page.text
    assert "Not everything is here" not in page.text
    assert "1 step ·" not in page.text
    assert "1 step" in page.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 1, 20])
def test_averages_are_spoken_of_where_there_are_some(run: RunFolder, kind: str, steps: int) -> None:
    KINDS[kind](run, steps).close()
    page = report(run)
    assert ("Bold lines are averages" in page.text) == (steps >= 20)
    drawn = {"rl": (1, 14), "sft": (1, 8)}[kind]
    assert page.tags.count("svg") == drawn[steps > 0]


def test_a_failed_supervised_run_says_why_and_a_resumed_one_since_when(run: RunFolder) -> None:
    sft_log(run, 2).close()
    made = SftSummary("demo", steps=2, resumed_at=1, stages=[StageResult("basics", 2, eval_loss={"addition": 1.5})])
    made.failed(RuntimeError("rank 1 <died>"))
    made.write(run)
    text = report(run).text
    for part in ("demofailed", "RuntimeError: rank 1 <died>", "from step 1", "after basics", "1.5000"):
        assert part in text


def test_names_in_a_supervised_report_are_shown_and_never_obeyed(run: RunFolder) -> None:
    attack = "<script>alert(1)</script>\x1b[2J"
    made = SftSummary("demo", stages=[StageResult(attack, 1, eval_loss={attack: 1.0})], eval_before={attack: 2.0})
    made.nodes, made.phases = {attack: [attack]}, {attack: 1.0}
    made.write(run)
    page = report(run)
    assert "script" not in page.tags
    assert "\x1b" not in page.text
    assert page.text.count("<script>alert(1)</script>") >= 4


def test_how_tasks_were_split_is_counted(run: RunFolder) -> None:
    rl_log(run, 1).close()
    Summary("demo", tasks={"train": 6000, "held_out": 300, "excluded": 12}).write(run)
    assert "train 6,000 · held out 300 · excluded 12" in report(run).text


keys = st.sampled_from(list(SftSummary("x").as_dict()))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(summary=st.dictionaries(keys, values, max_size=6))
def test_no_value_in_a_supervised_summary_can_stop_the_report(tmp_path: Path, summary: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary | {"kind": "sft"}))
    Structure(write_report(folder).read_text())
