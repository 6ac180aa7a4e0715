"""How much memory a policy asks of the actors that hold it: arithmetic over headers and configuration alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.core.errors import UserError
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.learner.heads import heads_of
from reprise.models.weights import tensor_shapes

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class PolicySize:
    """A policy's parameters, however many bytes each takes."""

    parameters: int


def policy_size(folder: Path) -> PolicySize:
    """Read from the headers of the folder's weights. Raises `UserError` naming the file that cannot be read."""
    return PolicySize(sum(map(math.prod, tensor_shapes(folder).values())))


def engine_parts(recipe: Recipe, size: PolicySize | None) -> dict[str, float]:
    """Host memory of one engine with all its tensor-parallel ranks, bytes by part. Of an engine on GPUs no cache."""
    ranks = recipe.rollout.engine.tensor_parallel
    parts = {"libraries": recipe.cluster.process_memory_gb * ranks * GIB}
    if size is not None:
        parts["weights"] = size.parameters * _BYTES[recipe.policy.dtype]
    if not recipe.cluster.engine_gpus:
        parts["cache"] = recipe.rollout.engine.kv_cache_gb * ranks * GIB
    return parts


def rank_parts(recipe: Recipe | SftRecipe, size: PolicySize | None) -> dict[str, float]:
    """Host memory of one learner rank, bytes by part; activations are not counted (`reprise plan` does)."""
    learner, places = recipe.learner, recipe.cluster
    parts = {"libraries": places.process_memory_gb * GIB}
    if size is not None:
        width = _BYTES[recipe.policy.dtype]
        parts["weights"] = size.parameters * width / (learner.world_size if learner.zero_stage >= 3 else 1)
        moments = {"adamw": 8, "muon": 8, "sgd": 0}[learner.optimizer]
        master = 4 if width < 4 else 0
        if not places.learner_gpus or learner.offload.optimizer:
            parts["optimiser"] = size.parameters * (moments + master) / learner.world_size
        if not places.learner_gpus:
            parts["gradients"] = size.parameters * width / (learner.world_size if learner.zero_stage >= 2 else 1)
    return parts


def cache_per_token(config: PreTrainedConfig) -> int:
    """Elements of the key-value cache that a token takes: keys and values of all layers, as attention sees them."""
    heads = heads_of(config)
    return int(2 * config.get_text_config().num_hidden_layers * heads.key_value * heads.head_dim)


def check_cache_holds_a_sequence(recipe: Recipe, config: PreTrainedConfig) -> None:
    """Refuse a key-value cache that could not hold a single sequence of the longest allowed length.

    The cache is each rank's own, and holds the key-value heads of that rank: all of them are shared among the
    tensor-parallel ranks, or one stands in several if they are fewer.
    """
    engine = recipe.rollout.engine
    ranks = min(engine.tensor_parallel, heads_of(config).key_value)
    per_token = cache_per_token(config) // ranks * _BYTES[recipe.policy.dtype]
    needed = per_token * engine.max_model_len
    if needed > engine.kv_cache_gb * GIB:
        each = f" on each of its {engine.tensor_parallel} ranks" if engine.tensor_parallel > 1 else ""
        raise UserError(
            f"rollout.engine.kv_cache_gb {engine.kv_cache_gb:g} is too little memory for the engine's cache: one "
            f"sequence of rollout.engine.max_model_len {engine.max_model_len} x {per_token:,} bytes a token = "
            f"{needed / GIB:.3g} GiB{each}; raise kv_cache_gb or lower max_model_len"
        )


def gib(size: float) -> str:
    """`1.5 GiB`"""
    return f"{size / GIB:.3g} GiB"
