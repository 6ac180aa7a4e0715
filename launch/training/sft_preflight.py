"""What is checked before any process of a supervised run is started."""

from __future__ import annotations

from collections.abc import Sequence

from reprise.data.sft.reading import files_of
from reprise.launch.placement.disk import check_disk, run_bytes
from reprise.launch.placement.fit import check_fit, check_kernel
from reprise.launch.placement.machine import check_port, check_temporary_folder
from reprise.launch.placement.memory import policy_size
from reprise.launch.placement.nodes import Node, Plan
from reprise.launch.placement.plan import plan
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.models.policy import check_policy, policy_config


def check(recipe: SftRecipe, nodes: Sequence[Node]) -> Plan:
    """All checks that need no policy folder: policy, layout, files, room. Raises `UserError`."""
    check_temporary_folder()
    check_policy(recipe.policy)
    config = policy_config(recipe.policy)
    check_fit(recipe, config)
    check_kernel(recipe.learner, recipe.cluster, recipe.policy.dtype, config)
    for source in recipe.sources:
        files_of(source)
    size = None if recipe.policy.path is None or config is None else policy_size(recipe, config)
    placed = plan(recipe, nodes, size)
    check_port(recipe.cluster.learner_port, placed)
    check_disk(recipe.runs_dir, run_bytes(recipe.learner, recipe.checkpoints, size))
    return placed
