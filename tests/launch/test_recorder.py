"""What a run tells of its verifiers' failures: at once, in its summary and in its report, with and without steps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recipe_files import write_recipe

from actors.buffer import Added
from actors.fleet import FleetStats
from actors.verifier_pool import PoolCounts
from buffer.errors import Starvation
from launch.evaluate import Evaluated
from launch.loading import load
from launch.recorder import Recorder
from launch.run_folder import RunFolder
from launch.statistics import EvalRecord, Evaluation
from rewards.infra_errors import InfraError
from rollout.engine import EngineStats

TRACE = "Traceback (most recent call last):\n  File \"bad_reward.py\", line 7, in judge\nKeyError: 'x'"
RAISED = InfraError("mine KeyError", "verifier 'mine' raised KeyError: 'x' (bad_reward.py:7)", TRACE, 4, True)
FLEET = FleetStats([EngineStats(busy=[], tokens=0, recomputed_tokens=0)], PoolCounts())


@pytest.fixture
def recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, Any], str, str]]:
    """Runs something with a recorder: its summary, its screen and its report."""

    def record(what: Callable[[Recorder], None]) -> tuple[dict[str, Any], str, str]:
        recipe = load(write_recipe(tmp_path, tracking={"wandb": "disabled"}))
        run = RunFolder.create(tmp_path / "runs", "small")
        try:
            with Recorder(recipe, run) as recorder:
                what(recorder)
        except Starvation:
            pass
        return json.loads(run.summary.read_text()), capsys.readouterr().out, run.report.read_text()

    return record


def added(**answers: int) -> Added:
    counters = dict.fromkeys(
        [f"trajectories/{n}" for n in ("sampled", "trained", "reused", "unparseable", "infra_error", "truncated")], 0
    )
    return Added("too_few_scored", "mine", 0.1, 0.0, 0.1, counters | {"groups/zero_variance": 0}, {"sums": answers})


def test_a_verifier_that_raises_before_any_step_is_told_at_once_in_the_table_the_summary_and_the_report(
    recorded,
) -> None:
    def run(recorder: Recorder) -> None:
        recorder.verifier_failed([RAISED])
        recorder.verifier_failed([RAISED])
        recorder.added(added(infra_error=8))
        raise Starvation("nothing is learned")

    summary, screen, report = recorded(run)
    at_once, table = screen.split("small: failed")
    for shown in (at_once, table, report.replace("&#x27;", "'").replace("&quot;", '"')):
        assert "verifier 'mine' raised KeyError: 'x' (bad_reward.py:7)" in shown
        assert 'File "bad_reward.py", line 7, in judge' in shown
    assert at_once.count("Traceback") == 1, "told once for each kind"
    assert "8 answers: verifier 'mine' raised" in table
    assert summary["infra_errors"] == [{"what": RAISED.what, "answers": 8, "traceback": TRACE}]
    assert summary["failures"]["trajectories/infra_error"] == 8
    assert "failures      trajectories/infra_error 8" in table
    [warning] = summary["warnings"]
    assert warning.startswith("sums: 100% of the answers of the run could not be judged")


def test_a_run_whose_verifiers_never_failed_says_nothing_of_it(recorded) -> None:
    summary, screen, report = recorded(lambda recorder: recorder.added(added(scored=8)))
    assert (summary["infra_errors"], summary["warnings"]) == ([], [])
    assert "failures      none" in screen
    assert "could not be judged" not in report


def test_a_held_out_score_says_over_how_many_tasks_it_is(recorded) -> None:
    passed = [EvalRecord("sums", str(i), 0, i < 5, True, False, 9) for i in range(7)]

    def run(recorder: Recorder) -> None:
        results, lost = Evaluation.of(passed, {"sums": 10, "words": 4}), {"sums": (3, 10), "words": (4, 4)}
        evaluated = Evaluated(results, results, [], lost)
        recorder.evaluated(0, evaluated, FLEET, "before")

    summary, screen, report = recorded(run)
    lost = "held-out responses could not be judged (infra_error): its score is over"
    assert summary["warnings"] == [
        f"before: sums: 3 of 10 {lost} 7 of its 10 tasks",
        f"before: words: 4 of 4 {lost} no task at all",
    ]
    assert "7 of 10" in screen.split("finished")[1]
    assert "<td>7 of 10</td>" in report
    assert summary["evaluation"]["before"]["all"] | {"tasks": 7, "asked": 14} == summary["evaluation"]["before"]["all"]


def test_names_from_data_reach_no_terminal_as_commands(recorded) -> None:
    domain = "\x1b[2J[bold]sums"

    def run(recorder: Recorder) -> None:
        passed = [EvalRecord(domain, str(i), 0, True, True, False, 9) for i in range(7)]
        recorder.evaluated(0, Evaluated(Evaluation.of(passed), None, [], {domain: (1, 8)}), FLEET, "before")
        recorder.verifier_lost(domain)
        recorder.added(Added(None, "m", 0, 0, 0, added().counters, {domain: {"scored": 1, "infra_error": 9}}))

    _, screen, _ = recorded(run)
    assert "\x1b" not in screen
    assert screen.count("[2J[bold]sums") >= 4


def test_the_curve_is_written_where_it_is_plotted_and_all_tasks_are_in_the_summary(recorded, tmp_path: Path) -> None:
    passed = [EvalRecord("sums", str(i), 0, i < 4, True, False, 9) for i in range(10)]

    def run(recorder: Recorder) -> None:
        recorder.evaluated(0, Evaluated(Evaluation.of(passed), Evaluation.of(passed[:4]), [], {}), FLEET, "before")
        recorder.evaluated(1, Evaluated(Evaluation.of(passed), None, [], {}), FLEET)

    summary, _, _ = recorded(run)
    [line] = map(json.loads, (tmp_path / "runs" / "small" / "metrics.jsonl").read_text().splitlines())
    assert (line["step"], line["eval/pass_at_1/sums"], line["eval/tasks/sums"]) == (0, 1.0, 4)
    assert summary["pass_at_1"]["before"]["sums"] == 0.4


def test_tasks_left_out_and_groups_sampled_again_are_told_and_counted(recorded) -> None:
    engine = EngineStats(busy=(), tokens=0, recomputed_tokens=0, sampled_again=2)
    passed = Evaluation.of([EvalRecord("sums", "1", 0, True, True, False, 9)])

    def run(recorder: Recorder) -> None:
        fleet = FleetStats([engine], PoolCounts(), ["task '7': a prompt of 99 tokens leaves no room"])
        recorder.evaluated(0, Evaluated(passed, passed, [], {}), fleet, "before")

    summary, screen, _ = recorded(run)
    assert summary["failures"] | {"rollout/sampled_again": 2, "rollout/left_out": 1} == summary["failures"]
    assert summary["warnings"] == ["left out: task '7': a prompt of 99 tokens leaves no room"]
    assert "Warning: left out: task '7'" in screen
