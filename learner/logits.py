"""What models make of their head's products before the softmax. No torch: the checks before a start ask too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reprise.core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# By what configurations call it. Under the same name HyperCLOVAX multiplies where Granite divides.
_FACTORS = ("logit_scale", "lm_head_multiplier")
_DIVISORS = ("logits_scaling",)
_MULTIPLIES_BY_DIVISORS = ("hyperclovax",)


@dataclass(frozen=True, slots=True)
class Logits:
    """The logits of products z of hidden states and `lm_head`: scale · z, or cap · tanh(scale · z / cap)."""

    scale: float = 1.0
    cap: float | None = None


def logits_of(config: PreTrainedConfig) -> Logits:
    """What a transformers configuration asks for. UserError for a scale or cap that is not positive."""
    text = config.get_text_config()
    scale = 1.0
    for key in (*_FACTORS, *_DIVISORS):
        value = getattr(text, key, None)
        if value is not None:
            value = _positive(key, value)
            scale *= value if key in _FACTORS or text.model_type in _MULTIPLIES_BY_DIVISORS else 1 / value
    cap = getattr(text, "final_logit_softcapping", None)
    return Logits(scale, None if cap is None else _positive("final_logit_softcapping", cap))


def check_logits(config: PreTrainedConfig, logprobs: str) -> None:
    """Refuse scales and caps that are not positive, and a cap for a `learner.logprobs` that has none. UserError."""
    if logits_of(config).cap is not None and logprobs != "streamed":
        raise UserError(
            f"learner.logprobs {logprobs} cannot cap logits, as final_logit_softcapping in the configuration of this "
            f"{config.model_type} policy asks for; use streamed"
        )


def _positive(key: str, value: object) -> float:
    if not isinstance(value, int | float) or not value > 0:
        raise UserError(f"config.json: {key} is {value!r}; give a number above 0")
    return float(value)
