"""What is checked before any actor is started, so that bad input costs seconds and is named exactly.

Each check raises `UserError` naming the key, file or record at fault and what would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from reprise.data.tasks import TaskSets, check_sources
from reprise.launch.placement.disk import check_disk, run_bytes
from reprise.launch.placement.fit import check_engine, check_fit, check_kernel
from reprise.launch.placement.machine import check_port, check_shared_memory, check_temporary_folder
from reprise.launch.placement.memory import policy_size
from reprise.launch.placement.nodes import Node, Plan, local_nodes, on_a_cluster
from reprise.launch.placement.plan import plan
from reprise.launch.recipe.schema import Recipe
from reprise.launch.training.prompts import check_prompts
from reprise.launch.training.trial import try_verifiers
from reprise.learner.settings import LOSSES
from reprise.models.policy import check_policy, policy_config, read_config
from reprise.rewards.loading import verifiable
from reprise.rewards.registry import build_verifiers
from reprise.rollout.entry_points import check_rollout_engine


@dataclass(frozen=True, slots=True)
class Preflight:
    """A recipe that may start: its tasks, read and checked, where its actors go, and what was found on the way."""

    tasks: TaskSets
    plan: Plan
    notes: Sequence[str] = ()


def check_here(recipe: Recipe) -> Preflight | None:
    """Before Ray takes its seconds: all checks, and an answer for every verifier to try it on. None on a cluster, whose
    nodes may have what this one lacks."""
    if on_a_cluster():
        return None
    ready = check(recipe, local_nodes())
    return replace(ready, notes=try_verifiers(recipe.rewards, ready.tasks))


def placed(recipe: Recipe, nodes: Sequence[Node], checked: Preflight | None) -> Preflight:
    """With Ray's nodes: what was checked before, placed on them; on a cluster all checks."""
    if checked is None:
        return check(recipe, nodes)
    size = None if recipe.policy.path is None else policy_size(recipe, read_config(Path(recipe.policy.path)))
    return replace(checked, plan=plan(recipe, nodes, size))


def plan_of(recipe: Recipe, ready: Preflight, folder: Path) -> Plan:
    """The plan now that the policy's folder is there; one that was built for the run is checked."""
    return ready.plan if recipe.policy.path else check_folder(recipe, ready.plan.nodes, folder, ready.tasks)


def check(recipe: Recipe, nodes: Sequence[Node]) -> Preflight:
    """All checks that need no policy folder; those of `check_folder` too if `policy.path` already gives one."""
    check_rollout_engine(recipe.rollout.engine.use)
    check_temporary_folder()
    check_policy(recipe.policy)
    config = policy_config(recipe.policy)
    check_fit(recipe, config)
    check_engine(recipe, config)
    check_kernel(recipe.learner, recipe.cluster, recipe.policy.dtype, config)
    check_loss(recipe.learner.loss)
    tasks = check_sources(recipe.data, partial(verifiable, build_verifiers(recipe.rewards)))
    if recipe.before is not None:
        from reprise.data.sft.reading import check_records  # imports HF datasets, which takes seconds

        check_records(recipe.before.sft.sources)
    placed = plan(recipe, nodes)
    check_port(recipe.cluster.learner_port, placed)
    check_shared_memory(recipe, placed, weights=0)
    check_disk(recipe.runs_dir, run_bytes(recipe.learner, recipe.checkpoints, None))
    if recipe.policy.path is not None:
        placed = check_folder(recipe, nodes, Path(recipe.policy.path), tasks)
    return Preflight(tasks, placed)


def check_loss(loss: str) -> None:
    """Refuse a loss of the user's that is not there or is none. Those that are built in need not be imported."""
    if loss not in LOSSES:
        from reprise.learner.losses import policy_loss

        policy_loss(loss)


def check_folder(recipe: Recipe, nodes: Sequence[Node], folder: Path, tasks: TaskSets) -> Plan:
    """The checks that need the policy's folder: memory with its weights counted, prompts as tokenized.

    Returns the plan with the weights' memory counted.
    """
    config = read_config(folder)
    check_fit(recipe, config)
    check_engine(recipe, config)
    size = policy_size(recipe, config)
    placed = plan(recipe, nodes, size)
    check_shared_memory(recipe, placed, size.parameters * (2 if recipe.policy.dtype == "bfloat16" else 4))
    check_disk(recipe.runs_dir, run_bytes(recipe.learner, recipe.checkpoints, size))
    every = [*(task for source in tasks.train for task in source), *tasks.held_out]
    check_prompts(recipe.rollout, folder, config.get_text_config().vocab_size, every)
    return placed
