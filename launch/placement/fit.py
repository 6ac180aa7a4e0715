"""What a policy's configuration allows of a recipe: whether it can be trained at all, how its heads may be shared, how
long its contexts may be."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from reprise.core.errors import UserError
from reprise.launch.placement.memory import check_cache_holds_a_sequence
from reprise.launch.placement.nodes import local_nodes
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.settings import LearnerPlaces
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.learner.heads import check_degree, heads_of
from reprise.learner.logits import check_logits
from reprise.learner.settings import TrainEngineSettings
from reprise.models.architecture import check_architecture, check_reach
from reprise.models.settings import PolicySettings
from reprise.rollout.head_dims import check_head_dim

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# FlashAttention-2's kernels are made for heads up to this width.
_FLASH_WIDTH = 256


def check_fit(recipe: Recipe | SftRecipe, config: PreTrainedConfig | None) -> None:
    """Refuse architectures that cannot be trained exactly, degrees that split heads, and contexts that positions or
    windows do not reach. `UserError`, naming the recipe's key or the configuration's.

    config   of the policy; None if its builder gives none before it has built, and nothing is checked
    """
    if config is None:
        return
    check_architecture(config)
    check_logits(config, recipe.learner.logprobs)
    check_degree(config, recipe.learner.sequence_parallel)
    if isinstance(recipe, Recipe):
        check_degree(config, recipe.rollout.engine.tensor_parallel, "rollout.engine.tensor_parallel")
    for key, tokens in _contexts(recipe):
        check_context(recipe.policy, config, key, tokens)


def check_engine(recipe: Recipe, config: PreTrainedConfig | None) -> None:
    """Refuse what vLLM could not serve: a cache too small for a sequence, heads that have no kernel on CPU."""
    if config is None:
        return
    check_cache_holds_a_sequence(recipe, config)
    compressed = getattr(config.get_text_config(), "kv_lora_rank", None) is not None  # vLLM has other kernels for it
    if not recipe.cluster.engine_gpus and not compressed:
        check_head_dim(heads_of(config).head_dim)


def check_context(policy: PolicySettings, config: PreTrainedConfig, key: str, tokens: int) -> None:
    """Refuse more tokens than all of the policy's layers look back, or than its positions reach.

    Of positions a configuration can say so: it then has a method `check_context(tokens)` that raises `ValueError`.
    """
    check_reach(config, key, tokens)
    check = getattr(config.get_text_config(), "check_context", None)
    if check is None:
        return
    try:
        check(tokens)
    except ValueError as error:
        where = "policy.build_args" if policy.path is None else f"{policy.path}/config.json"
        raise UserError(f"{key}: {error} (the policy's configuration is {where})") from error


def check_kernel(
    learner: TrainEngineSettings, places: LearnerPlaces, dtype: str, config: PreTrainedConfig | None
) -> None:
    """Refuse a kernel that the learner's devices do not have, or that takes other numbers or narrower heads."""
    if learner.attention == "sdpa":
        return
    if not places.learner_gpus:
        raise UserError(
            f"learner.attention {learner.attention} needs GPUs, and cluster.learner_gpus is 0; use sdpa on CPU"
        )
    if learner.attention != "flash_attention_2":
        return
    if dtype != "bfloat16":
        raise UserError(
            f"learner.attention flash_attention_2 computes in 16 bits, and policy.dtype is {dtype}; set policy.dtype "
            "to bfloat16, or use sdpa or flex_attention"
        )
    if local_nodes()[0].gpus and find_spec("flash_attn") is None:  # else it is not here that it is needed
        raise UserError(
            "learner.attention flash_attention_2 needs the package flash-attn, which is not installed on this machine: "
            "see the head of requirements/gpu.lock, or use sdpa"
        )
    if config is not None and (width := heads_of(config).head_dim) > _FLASH_WIDTH:
        raise UserError(
            f"learner.attention flash_attention_2 takes heads of at most {_FLASH_WIDTH} numbers, and the policy's have "
            f"{width}; use sdpa or flex_attention"
        )


def _contexts(recipe: Recipe | SftRecipe) -> Iterator[tuple[str, int]]:
    if isinstance(recipe, Recipe):
        yield "rollout.engine.max_model_len", recipe.rollout.engine.max_model_len
    else:
        for number, stage in enumerate(recipe.stages):
            yield f"stages.{number}.context", stage.largest_context
