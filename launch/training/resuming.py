"""What must hold for a run to go on; checked before anything in its folder is touched."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from reprise.core.errors import UserError
from reprise.data.stream import StreamState, TaskStream
from reprise.data.tasks import TaskSets
from reprise.launch.recipe.either import load_either
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.run_folder import RunFolder
from reprise.learner.checkpoints.client_state import State
from reprise.learner.checkpoints.folder import Metadata, latest, read_metadata, step_of
from reprise.models.policy import prepare_policy
from reprise.models.weights import tensor_shapes


def check_resumable(run: RunFolder, recipe: Recipe | SftRecipe) -> None:
    """Refuse a run without a checkpoint, or whose checkpoint is beyond the recipe's steps or not of its policy and
    seed. `UserError`."""
    checkpoint = run.last_checkpoint(recipe.checkpoints.every)
    if isinstance(recipe, Recipe) and recipe.before is None and run.stopped_before_rl:
        raise UserError(
            f"--resume: {run.path} was stopped before RL began, and the recipe has no `before` any more; leave it as "
            "it was, or start a new run"
        )
    metadata = read_metadata(checkpoint)
    if isinstance(recipe, Recipe) and not run.stopped_before_rl and recipe.steps < (done := step_of(checkpoint)):
        raise UserError(
            f"--resume: {run.path} has been trained for {done} steps, and the recipe's steps are {recipe.steps}; take "
            f"at least {done}, or start a new run"
        )
    if "over" not in _place(metadata):
        raise UserError(
            f"checkpoint {checkpoint} does not say which data it was made with: an earlier version wrote it; start a "
            "new run from the policy that reprise export makes of it"
        )
    if (seed := _place(metadata)["over"]["seed"]) != recipe.seed:
        raise UserError(
            f"--resume: {run.path} was started with seed {seed}, and the recipe has {recipe.seed}: the data would come "
            f"in another order, and some of it twice; set seed: {seed}, or start a new run"
        )
    if recipe.policy.build is not None and recipe.policy != load_either(run.recipe).policy:
        raise UserError(
            f"--resume: the recipe's policy is not the one that {run.path} was started with; leave it as it was, or "
            "start a new run"
        )
    folder = run.policy_start if recipe.policy.path is None else Path(recipe.policy.path)
    there = tensor_shapes(folder)
    for name, shape in metadata["parameters"].items():
        parameter = name.removeprefix("model.")
        own = there.get(parameter)
        if own != tuple(shape):
            differs = f"lacks {parameter}" if own is None else f"has {parameter} of {own}, not {tuple(shape)}"
            raise UserError(
                f"checkpoint {checkpoint} is of another architecture: the policy in {folder} {differs}; resume with "
                "the policy that the run was started with"
            )


def check_same_tasks(run: RunFolder, recipe: Recipe, tasks: TaskSets) -> None:
    """Refuse to go on with other tasks, or another mixture of them, than the run was started with. `UserError`."""
    checkpoint = latest(run.checkpoints)
    if checkpoint is not None:
        place = cast(StreamState, _place(read_metadata(checkpoint)))
        TaskStream(tasks.train, tasks.weights, recipe.seed).restore(place)


def _place(metadata: Metadata) -> State:
    """The checkpoint's place in the data, of either kind of run."""
    place: State = cast(State, metadata["client_state"])["driver"]["stream"]
    return place


def policy_folder(recipe: Recipe | SftRecipe, run: RunFolder) -> Path:
    """The policy that the run starts from, or once did; built if the recipe says so and it has not been yet."""
    if recipe.policy.build is not None and run.policy_start.exists():  # by the run that is resumed
        return run.policy_start
    return prepare_policy(recipe.policy, run.policy_start, recipe.seed)
