"""A Motif-2 policy with random weights and the demo's tokenizer, made from a seed, and its configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from buffer.errors import UserError
from models.motif2.configuration import PRESETS, Motif2Config
from models.motif2.modeling import Motif2ForCausalLM
from models.tiny import character_tokenizer

# The published checkpoint's shapes: their weights and vocabulary are not for us to make.
_PUBLISHED = "12p7b"


def config(*, preset: str = "tiny", **changes: Any) -> Motif2Config:
    """The configuration that `build` would give with the same arguments; no weights are made.

    `changes` are keys of the configuration. Except for the published shapes, the vocabulary is the demo tokenizer's.
    Raises UserError for a preset or a key that is not there.
    """
    if preset not in PRESETS:
        raise UserError(f"policy.build_args: preset {preset!r} is none of {', '.join(PRESETS)}")
    known = set(Motif2Config().to_dict()) - {"model_type", "transformers_version", "architectures"}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise UserError(f"policy.build_args: {', '.join(unknown)} is no key of a Motif-2 configuration")
    if preset == _PUBLISHED:
        return Motif2Config(**{**PRESETS[preset], **changes})
    tokenizer = character_tokenizer()
    vocabulary = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return Motif2Config(**{**vocabulary, **PRESETS[preset], **changes})


def build(out_dir: Path, seed: int, *, preset: str = "tiny", **changes: Any) -> Path:
    """Writes a randomly initialised policy and its tokenizer to `out_dir` and returns it.

    The same seed and arguments give the same bytes, whatever random state the caller is in. `build.config`, given the
    same keywords, is the configuration alone. Raises UserError as `config` does, and for the preset of the published
    checkpoint.
    """
    made = config(preset=preset, **changes)
    if preset == _PUBLISHED:
        raise UserError(
            f"policy.build: preset {preset} describes the published Motif-2-12.7B: set policy.path to the folder of "
            "its checkpoint, or build preset small (for a plan or a dry run the shapes are enough)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Motif2ForCausalLM(made)
    model.save_pretrained(out_dir)
    tokenizer = character_tokenizer()
    tokenizer.model_max_length = made.max_position_embeddings
    tokenizer.save_pretrained(out_dir)
    return out_dir


build.config = config  # type: ignore[attr-defined]
