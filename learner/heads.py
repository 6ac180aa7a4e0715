"""How a model's attention heads may be shared among ranks. No torch: the preflight asks too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reprise.core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True, slots=True)
class Heads:
    """A model's heads as its attention interface sees them, in `groups` that no degree may split."""

    query: int
    key_value: int
    head_dim: int
    groups: int


def heads_of(config: PreTrainedConfig) -> Heads:
    """The heads of a transformers configuration.

    A model with an attention of its own says how it may be shared by `ulysses_heads` in its configuration: a mapping
    with the fields of `Heads`, of what it passes to the attention interface. For any other the groups are its query
    heads.
    """
    text = config.get_text_config()
    own: Mapping[str, int] | None = getattr(text, "ulysses_heads", None)
    if own is not None:
        return Heads(**own)
    query = text.num_attention_heads
    key_value = getattr(text, "num_key_value_heads", None) or query
    return Heads(query, key_value, getattr(text, "head_dim", None) or text.hidden_size // query, query)


def check_degree(config: PreTrainedConfig, degree: int, key: str = "learner.sequence_parallel") -> None:
    """Refuse a degree that does not divide the model's heads, with the arithmetic. `UserError`, naming the `key`.

    An engine's tensor parallelism shares heads as sequence parallelism does: key-value heads that are fewer than the
    ranks are there several times.
    """
    if degree == 1:
        return
    heads = heads_of(config)
    what = f"{key} {degree} does not fit model type {config.model_type}"
    if heads.groups % degree:
        unit = "attention heads" if heads.groups == heads.query else f"groups of heads ({heads.query} query heads)"
        fitting = [d for d in range(1, heads.groups + 1) if heads.groups % d == 0]
        raise UserError(
            f"{what}: its {heads.groups} {unit} cannot be shared evenly by {degree} ranks; use one of {fitting}"
        )
    if heads.key_value % degree and degree % heads.key_value:
        raise UserError(
            f"{what}: its {heads.key_value} key-value heads neither divide into {degree} equal shares nor divide "
            f"{degree}"
        )
