"""The stack of a recipe for a benchmark: checked and planned as for a run, with stand-ins where asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from reprise.data.tasks import TaskSets
from reprise.launch.placement.reservation import ray_nodes
from reprise.launch.recipe.loading import load
from reprise.launch.recipe.schema import Recipe
from reprise.launch.training import cluster as rl_cluster
from reprise.launch.training import preflight
from reprise.launch.training.cluster import Cluster
from reprise.models.policy import prepare_policy
from reprise.rewards.infra_errors import InfraError

DEMO = Path(__file__).resolve().parent.parent / "recipes" / "demo.yaml"


@dataclass(frozen=True, slots=True)
class Stack:
    """A cluster whose actors have begun to start, its recipe, tasks and policy folder."""

    recipe: Recipe
    cluster: Cluster
    tasks: TaskSets
    policy_dir: Path


@asynccontextmanager
async def stack(folder: Path, overrides: Sequence[str], **stand_ins: type) -> AsyncIterator[Stack]:
    """The demo's recipe with `overrides` on this machine; `stand_ins` replace actor classes by name.

    Ray has been joined; `folder` takes a policy that the recipe builds.
    """
    recipe = load(DEMO, overrides)
    nodes = ray_nodes()
    ready = preflight.check(recipe, nodes)
    policy_dir = prepare_policy(recipe.policy, folder / "policy", recipe.seed)
    plan = preflight.check_folder(recipe, nodes, policy_dir, ready.tasks)
    with ExitStack() as patched:
        for name, stand_in in stand_ins.items():
            patched.enter_context(mock.patch.object(rl_cluster, name, stand_in))
        async with Cluster(recipe, plan, policy_dir, folder / "logs", print, print, _show) as cluster:
            yield Stack(recipe, cluster, ready.tasks, policy_dir)


def _show(failures: Sequence[InfraError]) -> None:
    for failure in failures:
        print(failure)
