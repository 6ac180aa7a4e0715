"""Which architectures the learner trains exactly, as far as a configuration tells.

Documents are packed into rows and kept apart in attention alone, so whatever else carries something from one token to
the next is refused here by name. What a configuration does not tell is measured when the learner starts
(learner/self_check.py) and, family by family, in docs/models.md. Neither torch nor transformers is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reprise.core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Layers that see one token, or all before it in the document.
_PLAIN = {"full_attention", "attention", "mlp", "moe", "dense", "sparse"}
# Layers that see a number of tokens before it, and the configuration's keys for that number.
_WINDOWED = {
    "sliding_attention": ("sliding_window",),
    "chunked_attention": ("attention_chunk_size",),
}
_SELECTING = {"indexed_attention", "compressed_sparse_attention", "heavily_compressed_attention"}
# Rotary embeddings that turn in another way once a sequence is longer than the original context: a packed document
# would turn as the longest one of its row does.
_STRETCHING_ROPE = ("dynamic", "longrope")

_RECURRENT = "a recurrent or convolutional layer, whose state would run from one packed document into the next"
_SELECTIVE = "attention that sees some of the tokens before it only, or sums of them"
_SINKS = "attention sinks"
_OUTSIDE = "an attention that does not go through transformers' attention interface"
_DEAF = "layers that do not hand on to attention where the documents of a row lie"
_BIAS = "an lm_head with a bias"
# Families whose configuration has no key that says so.
_FAMILIES = {
    **dict.fromkeys(("rwkv", "xlstm", "recurrent_gemma"), _RECURRENT),
    **dict.fromkeys(("doge",), _SELECTIVE),
    **dict.fromkeys(("gpt_oss", "mimo_v2_flash", "granite_swa", "granitemoe_swa"), _SINKS),
    **dict.fromkeys(("bloom", "falcon", "gpt_neo", "gptj", "mpt", "xglm"), _OUTSIDE),
    **dict.fromkeys(("moshi", "nemotron", "stablelm"), _DEAF),
    **dict.fromkeys(("codegen", "modernbert-decoder", "phi"), _BIAS),
    "phimoe": "a router that draws experts at random in training",
}
_WAY_OUT = "docs/models.md lists the families that can be trained"


@dataclass(frozen=True, slots=True)
class Reach:
    """Documents of up to `tokens` tokens are trained exactly; `key` of the configuration says so."""

    tokens: int
    key: str


def check_architecture(config: PreTrainedConfig) -> None:
    """Refuse a transformers configuration of a model that cannot be trained exactly. UserError, naming what it has."""
    text = config.get_text_config()
    kind = text.model_type
    if getattr(text, "is_encoder_decoder", False):
        raise UserError(f"model type {kind}: it is an encoder-decoder, and a policy is a decoder alone; {_WAY_OUT}")
    for layer in dict.fromkeys(getattr(text, "layer_types", None) or ()):
        if layer not in _PLAIN and layer not in _WINDOWED:
            what = _SELECTIVE if layer in _SELECTING else _RECURRENT
            raise UserError(f"model type {kind}: its layer_types have {layer}: {what}; {_WAY_OUT}")
    if kind in _FAMILIES:
        raise UserError(f"model type {kind}: it has {_FAMILIES[kind]}; {_WAY_OUT}")
    for key in ("index_topk", "index_topk_blocks"):
        if getattr(text, key, None):
            raise UserError(f"model type {kind}: {key} {getattr(text, key)} is {_SELECTIVE}; {_WAY_OUT}")
    if (cap := getattr(text, "attn_logit_softcapping", None)) is not None:
        raise UserError(f"model type {kind}: attn_logit_softcapping {cap} caps scores in attention; {_WAY_OUT}")


def reach(config: PreTrainedConfig) -> Reach | None:
    """How long documents may be to be trained exactly; None if the configuration sets no limit."""
    return min(_limits(config.get_text_config()), key=lambda limit: limit.tokens, default=None)


def check_reach(config: PreTrainedConfig, key: str, tokens: int) -> None:
    """Refuse documents of `tokens` tokens, which the recipe's `key` allows. UserError, naming both."""
    limit = reach(config)
    if limit is not None and tokens > limit.tokens:
        raise UserError(
            f"{key} {tokens} is more than the {limit.tokens} tokens up to which documents of this "
            f"{config.get_text_config().model_type} policy are trained exactly, because of {limit.key} in its "
            f"configuration: set {key} to at most {limit.tokens}, or take a policy without it"
        )


def _limits(text: PreTrainedConfig) -> Iterator[Reach]:
    kinds = getattr(text, "layer_types", None)
    for kind, keys in _WINDOWED.items():
        if kinds is None or kind in kinds:
            for key in keys:
                if (tokens := getattr(text, key, None)) is not None:
                    yield Reach(int(tokens), key)
    for rope in _ropes(getattr(text, "rope_parameters", None)):
        if rope.get("rope_type") in _STRETCHING_ROPE:
            original = rope.get("original_max_position_embeddings")
            original = original or getattr(text, "original_max_position_embeddings", None)
            yield Reach(int(original or text.max_position_embeddings), f"rope_type {rope['rope_type']}")


def _ropes(parameters: object) -> Iterator[Mapping[str, Any]]:
    """Rotary parameters of all layers, or by type of layer."""
    if isinstance(parameters, Mapping):
        if "rope_type" in parameters:
            yield parameters
        else:
            yield from (each for each in parameters.values() if isinstance(each, Mapping))
