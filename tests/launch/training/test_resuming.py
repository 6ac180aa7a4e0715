"""What is refused before a run goes on, with the run's folder left as it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from recipe_files import STAGE, write_recipe

from reprise.core.errors import UserError
from reprise.data.stream import TaskStream
from reprise.data.tasks import check_sources
from reprise.launch.cli import main
from reprise.launch.recipe.loading import load, to_yaml
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.recorder import Recorder, phases
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.training.resuming import check_resumable, check_same_tasks, policy_folder
from reprise.models import tiny
from reprise.models.weights import tensor_shapes
from reprise.rewards.loading import verifiable
from reprise.rewards.registry import build_verifiers

BUILD = {"build": "reprise.models.tiny:build", "build_args": {"width": 32, "layers": 1}}


@pytest.fixture
def started(tmp_path: Path) -> tuple[RunFolder, Recipe]:
    """A run of a built policy with one checkpoint, of which only the metadata is there."""
    recipe = load(write_recipe(tmp_path, steps=20, policy=BUILD))
    run = RunFolder.create(tmp_path / "runs", "r")
    run.recipe.write_text(to_yaml(recipe))
    tiny.build(run.policy_start, 0, width=32, layers=1)
    checkpoint = run.checkpoints / "step-000007"
    checkpoint.mkdir(parents=True)
    parameters = {f"model.{name}": shape for name, shape in tensor_shapes(run.policy_start).items()}
    tasks = check_sources(recipe.data, partial(verifiable, build_verifiers(recipe.rewards)))
    place = TaskStream(tasks.train, tasks.weights, recipe.seed).state()
    metadata = {"format": 1, "step": 7, "parameters": parameters, "client_state": {"driver": {"stream": place}}}
    (checkpoint / "metadata.json").write_text(json.dumps(metadata))
    return run, recipe


def test_a_run_may_go_on_with_the_policy_it_was_started_with(started: tuple[RunFolder, Recipe]) -> None:
    run, recipe = started
    check_resumable(run, recipe)
    assert policy_folder(recipe, run) == run.policy_start
    assert run.last_checkpoint(1).name == "step-000007"


def test_a_policy_built_otherwise_is_refused(started: tuple[RunFolder, Recipe], tmp_path: Path) -> None:
    run, _ = started
    wider = load(write_recipe(tmp_path, steps=20, policy=BUILD | {"build_args": {"width": 64}}))
    with pytest.raises(UserError, match=r"not the one that .* was started with"):
        check_resumable(run, wider)


def test_fewer_steps_than_were_done_are_refused(started: tuple[RunFolder, Recipe]) -> None:
    run, recipe = started
    check_resumable(run, recipe.model_copy(update={"steps": 7}))
    with pytest.raises(UserError, match="trained for 7 steps, and the recipe's steps are 6; take at least 7, or start"):
        check_resumable(run, recipe.model_copy(update={"steps": 6}))


def test_a_dry_run_refuses_what_cannot_be_resumed(started: tuple[RunFolder, Recipe]) -> None:
    run, _ = started
    assert main(["train", "--resume", str(run.path), "--set", "steps=6", "--dry-run"]) == 2
    shutil.rmtree(run.checkpoints)
    assert main(["train", "--resume", str(run.path), "--dry-run"]) == 2


def test_a_policy_of_another_architecture_is_refused_with_the_parameter(
    started: tuple[RunFolder, Recipe], tmp_path: Path
) -> None:
    run, _ = started
    for name, sizes, message in (
        ("wide", {"width": 64, "layers": 1}, r"has model.embed_tokens.weight of \(106, 64\), not \(106, 32\)"),
        ("same", {"width": 32, "layers": 1}, ""),
    ):
        tiny.build(tmp_path / name, 0, **sizes)
        recipe = load(write_recipe(tmp_path, steps=20, policy={"path": str(tmp_path / name)}))
        if message:
            with pytest.raises(UserError, match=message):
                check_resumable(run, recipe)
        else:
            check_resumable(run, recipe)


def test_a_run_stopped_before_rl_goes_on_there_and_tells_anew_of_rl(started: tuple[RunFolder, Recipe]) -> None:
    run, recipe = started
    run.checkpoints.rename(run.checkpoints_before)
    assert run.last_checkpoint(1) == run.checkpoints_before / "step-000007"
    tasks = check_sources(recipe.data, partial(verifiable, build_verifiers(recipe.rewards)))
    check_same_tasks(run, recipe, tasks)  # of which the checkpoint knows nothing
    with pytest.raises(UserError, match="was stopped before RL began, and the recipe has no `before` any more"):
        check_resumable(run, recipe)
    recipe = load(run.recipe, ["before={sft: {stages: [" + json.dumps(STAGE) + "]}}", "tracking.wandb=disabled"])
    check_resumable(run, recipe)
    run.metrics.write_text('{"step": 0, "eval/pass_at_1/all": 0.5}\n{"step": 1, "reward/mean": 0.5}\n')
    with Recorder(recipe, run, resumed=True) as recorder:
        assert recorder.checkpoint is None
        assert recorder.evaluated_at == -1
        assert "warm start" in phases(recipe, recorder.checkpoint is not None)
    assert run.metrics.read_text() == ""
    assert json.loads(run.summary.read_text())["status"] == "finished"


def test_a_run_without_a_checkpoint_is_refused(started: tuple[RunFolder, Recipe]) -> None:
    run, recipe = started
    (run.checkpoints / "step-000007").rename(run.checkpoints / "step-000007.partial")
    with pytest.raises(UserError, match="no complete checkpoint to go on from"):
        check_resumable(run, recipe)


def test_another_seed_is_refused(started: tuple[RunFolder, Recipe], tmp_path: Path) -> None:
    run, _ = started
    other = load(write_recipe(tmp_path, steps=20, policy=BUILD, seed=3))
    with pytest.raises(UserError, match=r"was started with seed 0, and the recipe has 3: .* set seed: 0"):
        check_resumable(run, other)


def test_other_tasks_under_the_same_ids_are_refused(started: tuple[RunFolder, Recipe]) -> None:
    run, recipe = started
    tasks = check_sources(recipe.data, partial(verifiable, build_verifiers(recipe.rewards)))
    check_same_tasks(run, recipe, tasks)
    ((first, *others),) = tasks.train
    other = replace(tasks, train=((replace(first, prompt="9+9="), *others),))
    with pytest.raises(UserError, match="digests of ids and prompts"):
        check_same_tasks(run, recipe, other)


def test_a_checkpoint_of_an_earlier_version_is_refused_with_what_can_be_done(started: tuple[RunFolder, Recipe]) -> None:
    run, recipe = started
    file = run.checkpoints / "step-000007" / "metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["client_state"]["driver"]["stream"]["over"]
    file.write_text(json.dumps(metadata))
    with pytest.raises(UserError, match="an earlier version wrote it; start a new run"):
        check_resumable(run, recipe)
