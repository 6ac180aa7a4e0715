"""How much host memory a policy asks of the actors that hold it; a learner rank's as `learner.planning` counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reprise.core.errors import UserError
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.learner.heads import heads_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from reprise.learner.planning.job import PlanInput

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class PolicySize:
    """What a policy needs of its actors.

    parameters   however many bytes each takes
    rank         host memory of one learner rank, bytes by part: as `reprise plan` counts it, without activations
    """

    parameters: int
    rank: Mapping[str, int] = field(default_factory=dict)


def policy_size(recipe: Recipe | SftRecipe, config: PreTrainedConfig) -> PolicySize:
    """Counted on a model without storage. Activations, which take seconds to measure, are `reprise plan`'s to count."""
    from reprise.learner.planning.budget import without_activations
    from reprise.learner.planning.job import Shapes

    on_gpu = bool(recipe.cluster.learner_gpus)
    job = plan_input(recipe, config, on_gpu, fixed_gb=0.0)
    shape = Shapes(config, recipe.policy.dtype).counted
    whole = without_activations(job, shape)
    phase = whole.peak_phase
    held = [part for part in whole.parts if (part.host if on_gpu else phase in part.phases)]
    kinds = dict.fromkeys(part.kind for part in held)
    return PolicySize(shape.parameters, {kind: sum(part.size for part in held if part.kind == kind) for kind in kinds})


def plan_input(recipe: Recipe | SftRecipe, config: PreTrainedConfig, on_gpu: bool, fixed_gb: float) -> PlanInput:
    """What one learner rank of the recipe does; `fixed_gb` is what it takes without a model, GiB."""
    from reprise.learner.planning.job import PlanInput

    job = PlanInput(
        config=config,
        engine=recipe.learner,
        dtype=recipe.policy.dtype,
        row_tokens=recipe.learner.token_budget,
        on_gpu=on_gpu,
        fixed_bytes=round(fixed_gb * GIB),
    )
    if isinstance(recipe, SftRecipe):
        return job
    learner = recipe.learner
    ahead = learner.proximal == "recompute" and learner.steps_per_batch > 1
    return replace(
        job,
        with_entropy=True,
        reference=learner.kl_coef > 0,
        extra_forwards=(ahead + (learner.kl_coef > 0)) / learner.epochs,
    )


def engine_parts(recipe: Recipe, size: PolicySize | None) -> dict[str, float]:
    """Host memory of one engine with all its tensor-parallel ranks, bytes by part. Of an engine on GPUs no cache."""
    ranks = recipe.rollout.engine.tensor_parallel
    parts = {"libraries": recipe.cluster.process_memory_gb * ranks * GIB}
    if size is not None:
        parts["weights"] = size.parameters * _BYTES[recipe.policy.dtype]
    if not recipe.cluster.engine_gpus:
        parts["cache"] = recipe.rollout.engine.kv_cache_gb * ranks * GIB
    return parts


def rank_parts(recipe: Recipe | SftRecipe, size: PolicySize | None) -> Mapping[str, float]:
    """Host memory of one learner rank, bytes by part."""
    libraries = {"libraries": recipe.cluster.process_memory_gb * GIB}
    return libraries if size is None else {**libraries, **size.rank}


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
