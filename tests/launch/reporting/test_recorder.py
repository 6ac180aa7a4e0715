"""What a run reports of its verifiers' failures: at once, in its summary and in its report, with and without steps."""

import json
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from recipe_files import STAGE, write_recipe

from reprise.actors.buffer import Added
from reprise.actors.fleet import FleetStats
from reprise.actors.sampler import Finished
from reprise.core.errors import RunError, Starvation, UserError
from reprise.core.types import Task
from reprise.data.tasks import TaskSets
from reprise.launch.cli import main
from reprise.launch.recipe.loading import load
from reprise.launch.reporting.evaluated import Evaluated
from reprise.launch.reporting.metrics import MetricsLog
from reprise.launch.reporting.recorder import Recorder, phases
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.launch.reporting.summary import TrajectoryCounts
from reprise.learner.checkpoints.folder import METADATA
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.verifier_pool import PoolCounts
from reprise.rollout.engine import EngineStats

TRACE = "Traceback (most recent call last):\n  File \"bad_reward.py\", line 7, in judge\nKeyError: 'x'"
RAISED = InfraError("mine KeyError", "verifier 'mine' raised KeyError: 'x' (bad_reward.py:7)", TRACE, 4, True)
FLEET = FleetStats([EngineStats(busy=(), tokens=0, recomputed_tokens=0)], PoolCounts())


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


COUNTERS = dict.fromkeys([f"trajectories/{each.name}" for each in fields(TrajectoryCounts)], 0)


def finished(**answers: int) -> Finished:
    return Finished("mine", 0.1, 0.0, 0.1, added({"sums": answers}))


def added(answers: dict[str, dict[str, int]], **counters: int) -> Added:
    return Added("too_few_scored", COUNTERS | {"groups/zero_variance": 0} | counters, answers)


def test_a_verifier_that_raises_before_any_step_is_reported_at_once_in_the_table_the_summary_and_the_report(
    recorded,
) -> None:
    def run(recorder: Recorder) -> None:
        recorder.verifier_failed([RAISED])
        recorder.verifier_failed([RAISED])
        recorder.finished(finished(infra_error=8))
        raise Starvation("nothing is learned")

    summary, screen, report = recorded(run)
    at_once, table = screen.split("small: failed")
    for shown in (at_once, table, unescape(report)):
        assert "verifier 'mine' raised KeyError: 'x' (bad_reward.py:7)" in shown
        assert 'File "bad_reward.py", line 7, in judge' in shown
    assert at_once.count("Traceback") == 1, "shown once for each kind"
    assert "8 answers: verifier 'mine' raised" in table
    assert summary["infra_errors"] == [{"what": RAISED.what, "answers": 8, "traceback": TRACE}]
    assert summary["failures"]["trajectories/infra_error"] == 8
    assert "failures      trajectories/infra_error 8" in table
    [warning] = summary["warnings"]
    assert warning.startswith("sums: 100% of the answers of the run could not be verified")


def test_a_run_whose_verifiers_never_failed_says_nothing_of_it(recorded) -> None:
    summary, screen, report = recorded(lambda recorder: recorder.finished(finished(scored=8)))
    assert (summary["infra_errors"], summary["warnings"]) == ([], [])
    assert "failures      none" in screen
    assert "could not be verified" not in report


def test_a_held_out_score_says_over_how_many_tasks_it_is(recorded) -> None:
    passed = [EvalRecord("sums", str(i), 0, i < 5, True, False, 9) for i in range(7)]

    def run(recorder: Recorder) -> None:
        results, lost = Evaluation.of(passed, {"sums": 10, "words": 4}), {"sums": (3, 10), "words": (4, 4)}
        evaluated = Evaluated(results, results, [], lost)
        recorder.evaluated(0, evaluated, FLEET, "before")

    summary, screen, report = recorded(run)
    lost = "held-out responses could not be verified (infra_error): its score is over"
    assert summary["warnings"] == [
        f"before: sums: 3 of 10 {lost} 7 of its 10 tasks",
        f"before: words: 4 of 4 {lost} no task at all",
    ]
    assert "7 of 10" in screen.split("finished")[1]
    assert "<td>7 of 10</td>" in report
    assert summary["evaluation"]["before"]["all"] | {"tasks": 7, "asked": 14} == summary["evaluation"]["before"]["all"]


def test_summary_and_table_can_be_looked_at_while_the_run_goes_on(recorded, tmp_path: Path, capsys) -> None:
    seen = []

    def run(recorder: Recorder) -> None:
        passed = [EvalRecord("sums", str(i), 0, i < 5, True, False, 9) for i in range(7)]
        results = Evaluation.of(passed)
        recorder.progress.phase("before-eval")
        recorder.evaluated(0, Evaluated(results, results, [], {}), FLEET, "before")
        seen.append(json.loads(recorder.run.summary.read_text()))
        main(["report", str(recorder.run.path)])
        with pytest.raises(UserError, match="is being written by a run that is still going"):
            Recorder(load(write_recipe(tmp_path)), recorder.run)

    summary, screen, _ = recorded(run)
    assert (seen[0]["status"], seen[0]["reason"]) == ("running", "")
    assert seen[0]["pass_at_1"]["before"]["sums"] == pytest.approx(5 / 7)
    assert list(seen[0]["phases"]) == ["before-eval"]
    assert "small: running at 0 steps" in screen
    assert summary["status"] == "finished"


def test_responses_that_were_cut_off_and_tasks_that_were_left_out_are_reported(recorded) -> None:
    task = Task("1", "?", "sums", "exact")

    def run(recorder: Recorder) -> None:
        recorder.tasks(TaskSets(((task,) * 3,), (1.0,), (task,), excluded=2))
        counts = added({"sums": {"scored": 8}}, **{"trajectories/sampled": 8, "trajectories/truncated": 7})
        recorder.finished(Finished("mine", 0.1, 0.0, 0.1, counts))

    summary, screen, report = recorded(run)
    [warning] = summary["warnings"]
    assert warning.startswith("88% of the responses of the run were cut off by the token limit")
    assert warning in " ".join(screen.split())
    assert warning in unescape(report)
    assert summary["tasks"] == {"train": 3, "held_out": 1, "excluded": 2}
    assert "2 of the 5 tasks of data.train are left out of training" in screen
    assert "2 left out of training: they are held out" in screen


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("resumed", [True, False])
def test_the_phases_of_a_run_are_those_that_it_will_have(
    tmp_path: Path, held_out: bool, warm: bool, resumed: bool
) -> None:
    data = {"train": [{"generator": "recipe_files:tasks"}]} | (
        {"held_out": [{"path": "held_out.jsonl"}]} if held_out else {}
    )
    start: dict[str, Any] = {"before": {"sft": {"stages": [STAGE]}}} if warm else {}
    expected = phases(load(write_recipe(tmp_path, data=data, **start)), resumed)
    assert expected[0] == "set-up"
    assert ("warm start" in expected) == (warm and not resumed)
    assert ("before-eval" in expected) == (held_out and not resumed)
    assert expected[-3:] == ["RL", "after-eval", "export"] if held_out else expected[-2:] == ["RL", "export"]


def test_names_from_data_reach_no_terminal_as_commands(recorded) -> None:
    domain = "\x1b[2J[bold]sums"

    def run(recorder: Recorder) -> None:
        passed = [EvalRecord(domain, str(i), 0, True, True, False, 9) for i in range(7)]
        recorder.evaluated(0, Evaluated(Evaluation.of(passed), None, [], {domain: (1, 8)}), FLEET, "before")
        recorder.verifier_lost(domain)
        recorder.finished(Finished("m", 0, 0, 0, added({domain: {"scored": 1, "infra_error": 9}})))

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


@pytest.mark.parametrize(("saved", "evaluated_at"), [(2, 2), (3, 2), (1, -1)])
def test_a_resumed_run_knows_which_evaluation_it_has_missed(tmp_path: Path, saved: int, evaluated_at: int) -> None:
    recipe = load(write_recipe(tmp_path, tracking={"wandb": "disabled"}))
    run = RunFolder.create(tmp_path / "runs", "small")
    (run.checkpoints / f"step-{saved:06d}").mkdir(parents=True)
    driver = {"recorder": {"before": Evaluation.of([EvalRecord("sums", "1", 0, True, False, True, 9)]).to_json()}}
    metadata = {"format": 1, "step": saved, "client_state": {"driver": driver}}
    (run.checkpoints / f"step-{saved:06d}" / METADATA).write_text(json.dumps(metadata))
    passed = Evaluation.of([EvalRecord("sums", "1", 0, True, True, False, 9)])
    with MetricsLog(run.metrics) as log:
        log.write(2, passed.metrics())
    with Recorder(recipe, run, resumed=True) as recorder:
        assert recorder.evaluated_at == evaluated_at
        recorder.evaluated(saved, Evaluated(passed, passed, [], {}), FLEET)
        assert recorder.evaluated_at == saved


def test_a_resume_that_fails_in_set_up_leaves_what_the_run_had_reached(tmp_path: Path) -> None:
    recipe = load(write_recipe(tmp_path, tracking={"wandb": "disabled"}))
    run = RunFolder.create(tmp_path / "runs", "small")
    before = Evaluation.of([EvalRecord("sums", "1", 0, True, True, False, 9)])
    metadata = {"format": 1, "step": 3, "client_state": {"driver": {"recorder": {"before": before.to_json()}}}}
    (run.checkpoints / "step-000003").mkdir(parents=True)
    (run.checkpoints / "step-000003" / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(RunError), Recorder(recipe, run, resumed=True):
        raise RunError("the learner's ranks did not start")
    summary = json.loads(run.summary.read_text())
    assert (summary["steps"], summary["pass_at_1"]["before"]) == (3, {"sums": 1.0, "all": 1.0})


def test_tasks_left_out_and_groups_sampled_again_are_reported_and_counted(recorded) -> None:
    engine = EngineStats(busy=(), tokens=0, recomputed_tokens=0, sampled_again=2)
    passed = Evaluation.of([EvalRecord("sums", "1", 0, True, True, False, 9)])

    def run(recorder: Recorder) -> None:
        fleet = FleetStats([engine], PoolCounts(), ["task '7': a prompt of 99 tokens leaves no room"])
        recorder.evaluated(0, Evaluated(passed, passed, [], {}), fleet, "before")

    summary, screen, _ = recorded(run)
    assert summary["failures"] | {"rollout/sampled_again": 2, "rollout/left_out": 1} == summary["failures"]
    assert summary["warnings"] == ["left out: task '7': a prompt of 99 tokens leaves no room"]
    assert "Warning: left out: task '7'" in screen
