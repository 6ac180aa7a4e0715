"""What a run that ends early leaves behind: its last step, and the way to go on, though the disk be full."""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from recipe_files import write_recipe

from reprise.actors.buffer import BatchInfo
from reprise.actors.fleet import FleetStats
from reprise.actors.learner import Trained
from reprise.actors.sampler import TakenBatch
from reprise.buffer.trajectory_buffer import TrajectoryBuffer
from reprise.launch.recipe.loading import load
from reprise.launch.reporting.evaluated import Evaluated
from reprise.launch.reporting.metrics import CORE
from reprise.launch.reporting.recorder import Recorder
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.learner.checkpoints.folder import begin, commit
from reprise.rewards.pool.verifier_pool import PoolCounts
from reprise.rollout.engine import EngineStats


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    return RunFolder.create(tmp_path / "runs", "small")


def end(run: RunFolder, tmp_path: Path, error: BaseException, verified_again: int = 0) -> None:
    """A run whose learner did step 3 of which nothing else is recorded; then `error`."""
    recipe = load(write_recipe(tmp_path, tracking={"wandb": "disabled"}))
    counts = TrajectoryBuffer(recipe.buffer, 0, 1).counters()
    no_groups: Any = None
    batch = TakenBatch(no_groups, BatchInfo(True, dict.fromkeys(CORE, 0.5), counts), 0.0)
    with suppress(type(error)), Recorder(recipe, run) as recorder:
        recorder.training_begins()
        if verified_again:
            evaluation = Evaluation.of([EvalRecord("sums", "1", 0, True, True, False, 9)])
            engine = EngineStats(busy=(), tokens=0, recomputed_tokens=0)
            fleet = FleetStats([engine], PoolCounts(rejudged=verified_again))
            recorder.evaluated(2, Evaluated(evaluation, None, [], {}), fleet)
        recorder.trained(3, batch, Trained({"policy/entropy": 1.5, "optim/skipped": 0}, 0.0, 1.0))
        raise error


def test_the_step_that_a_checkpoint_may_hold_has_its_line(run: RunFolder, tmp_path: Path) -> None:
    end(run, tmp_path, RuntimeError("engine 0 is gone"))
    [line] = [json.loads(text) for text in run.metrics.read_text().splitlines()]
    assert (line["step"], line["policy/entropy"], line["publish/mismatch"]) == (3, 1.5, None)
    assert json.loads(run.summary.read_text())["steps"] == 3


def test_what_was_verified_again_before_the_last_step_is_counted_once(run: RunFolder, tmp_path: Path) -> None:
    end(run, tmp_path, RuntimeError("engine 0 is gone"), verified_again=5)
    assert json.loads(run.summary.read_text())["failures"]["verifier/rejudged"] == 5


def test_the_command_that_goes_on_is_shown_where_there_is_a_checkpoint(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata: Any = {"format": 1}
    commit(begin(run.checkpoints, 3), metadata)
    end(run, tmp_path, KeyboardInterrupt())
    assert "resume   reprise train --resume runs/small   (from step 3)" in capsys.readouterr().out
    assert json.loads(run.summary.read_text())["resume"] == "reprise train --resume runs/small"


def test_no_command_is_shown_where_nothing_can_go_on(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end(run, tmp_path, KeyboardInterrupt())
    assert "resume " not in capsys.readouterr().out
    assert json.loads(run.summary.read_text())["resume"] is None


def test_a_full_disk_takes_the_files_and_not_the_table(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("reprise.launch.reporting.run_recorder.write_report", full)
    monkeypatch.setattr("reprise.launch.reporting.run_summary.write_atomically", full)
    end(run, tmp_path, RuntimeError("it went wrong"))
    screen = capsys.readouterr().out
    assert "summary.json could not be written: No space left on device" in screen
    assert "report.html could not be written: No space left on device" in screen
    assert "small: failed after 3 steps" in screen
    assert "it went wrong" in screen
