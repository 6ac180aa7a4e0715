"""A Motif-2 policy with random weights and a tokenizer, made from a seed, and its configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from reprise.core.errors import UserError
from reprise.models.motif2.configuration import PRESETS, ConfigurationError, Motif2Config
from reprise.models.motif2.modeling import Motif2ForCausalLM
from reprise.models.motif2.tokenizer import published_tokenizer, rounded, small_tokenizer, token_ids
from reprise.models.saving import save_policy

# The published checkpoint's shapes: their weights and vocabulary are not for us to make.
_PUBLISHED = "12p7b"


def config(*, preset: str = "tiny", tokenizer: str | None = None, **changes: object) -> Motif2Config:
    """The configuration that `build` would give with the same arguments; no weights are made.

    tokenizer   a folder with the published tokenizer; without it the small one of characters
    changes     keys of the configuration

    The vocabulary is the tokenizer's, its size rounded up to a multiple of 128 if that is the published one. The
    published shapes keep their size, and name no tokens unless a tokenizer is given. Raises UserError for a preset or a
    key that is not there, for a tokenizer that is not Motif-2's, and for a vocabulary that does not hold it.
    """
    return _described(preset, tokenizer, changes)[0]


def build(out_dir: Path, seed: int, *, preset: str = "tiny", tokenizer: str | None = None, **changes: object) -> Path:
    """Writes a randomly initialised policy and its tokenizer to `out_dir` and returns it.

    The same seed and arguments give the same bytes, whatever random state the caller is in. `build.config`, given the
    same keywords, is the configuration alone. Raises UserError as `config` does, and for the preset of the published
    checkpoint.
    """
    made, written = _described(preset, tokenizer, changes)
    if preset == _PUBLISHED or written is None:
        raise UserError(
            f"policy.build: preset {preset} describes the published Motif-2-12.7B: set policy.path to the folder of "
            "its checkpoint, or build preset small (for a plan or a dry run the shapes are enough)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Motif2ForCausalLM(made)
    if tokenizer is None:
        written.model_max_length = made.max_position_embeddings
    save_policy(model, written, out_dir)  # generation_config.json has both end tokens, from the configuration
    return out_dir


def _described(
    preset: str, folder: str | None, changes: dict[str, object]
) -> tuple[Motif2Config, PreTrainedTokenizerBase | None]:
    """The configuration, and the tokenizer that goes with it: none with the published shapes unless one is given."""
    if preset not in PRESETS:
        raise UserError(f"policy.build_args: preset {preset!r} is none of {', '.join(PRESETS)}")
    try:
        return _made(preset, folder, changes)
    except ConfigurationError as error:
        raise UserError(f"policy.build_args: {str(error).removeprefix('config.json: ')}") from error


def _made(
    preset: str, folder: str | None, changes: dict[str, object]
) -> tuple[Motif2Config, PreTrainedTokenizerBase | None]:
    keys: dict[str, Any] = {**PRESETS[preset], **changes}
    known = set(Motif2Config().to_dict()) - {"model_type", "transformers_version", "architectures"}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise UserError(f"policy.build_args: {', '.join(unknown)} is no key of a Motif-2 configuration")
    if preset == _PUBLISHED and folder is None:
        return Motif2Config(**keys), None
    tokenizer = small_tokenizer() if folder is None else published_tokenizer(folder)
    vocabulary = token_ids(tokenizer)
    if preset != _PUBLISHED:
        vocabulary["vocab_size"] = len(tokenizer) if folder is None else rounded(len(tokenizer))
    made = Motif2Config(**{**vocabulary, **keys})
    if made.vocab_size < len(tokenizer):
        raise UserError(
            f"policy.build_args: vocab_size {made.vocab_size} is less than the {len(tokenizer)} tokens of the tokenizer"
        )
    return made, tokenizer


build.config = config  # type: ignore[attr-defined]
