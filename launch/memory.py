"""How much memory a policy asks of the actors that hold it: arithmetic over its folder's headers, nothing is loaded."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from buffer.errors import UserError
from launch.recipe import Recipe
from launch.settings import LearnerPlaces
from learner.settings import EngineSettings

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class PolicySize:
    """Parameters, and elements of the key-value cache for one token (keys and values, all layers)."""

    parameters: int
    cache_per_token: int


def policy_size(folder: Path) -> PolicySize:
    """Read from the headers of the folder's safetensors files and from its config.json.

    Raises `UserError` naming the file that cannot be read.
    """
    config_file = folder / "config.json"
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        text = config.get("text_config", config)
        heads = text["num_attention_heads"]
        head_dim = text.get("head_dim") or text["hidden_size"] // heads
        kv_heads = text.get("num_key_value_heads") or heads
        cache = 2 * text["num_hidden_layers"] * kv_heads * head_dim
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{config_file} is not the configuration of a transformers model: {error!r}") from None
    return PolicySize(sum(map(math.prod, tensor_shapes(folder).values())), cache)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a folder's safetensors files, from their headers. `UserError` as above."""
    return {name: shape for file in sorted(folder.glob("*.safetensors")) for name, shape in _shapes(file).items()}


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    # A safetensors file begins with the length of its JSON header (uint64, little endian) and the header.
    try:
        with file.open("rb") as content:
            (length,) = struct.unpack("<Q", content.read(8))
            if length > file.stat().st_size:
                raise ValueError("the header is longer than the file")
            header = json.loads(content.read(length))
        return {name: tuple(map(int, entry["shape"])) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise UserError(f"{file} is not a readable safetensors file ({error}); is the download complete?") from None


def engine_parts(recipe: Recipe, size: PolicySize | None) -> dict[str, float]:
    """Host memory of one engine, bytes by part. Of an engine on GPUs no cache."""
    parts = {"libraries": recipe.cluster.process_memory_gb * GIB}
    if size is not None:
        parts["weights"] = size.parameters * _BYTES[recipe.policy.dtype]
    if not recipe.cluster.engine_gpus:
        parts["cache"] = recipe.rollout.engine.kv_cache_gb * GIB
    return parts


def learner_parts(recipe: Recipe, size: PolicySize | None) -> dict[str, float]:
    """Host memory of one learner rank, bytes by part; activations are not counted (`reprise plan` does)."""
    return rank_parts(recipe.learner, recipe.policy.dtype, recipe.cluster, size)


def rank_parts(learner: EngineSettings, dtype: str, places: LearnerPlaces, size: PolicySize | None) -> dict[str, float]:
    """Host memory of one learner rank, bytes by part; activations are not counted."""
    parts = {"libraries": places.process_memory_gb * GIB}
    if size is not None:
        width = _BYTES[dtype]
        parts["weights"] = size.parameters * width / (learner.world_size if learner.zero_stage >= 3 else 1)
        moments = {"adamw": 8, "muon": 8, "sgd": 0}[learner.optimizer]
        master = 4 if width < 4 else 0
        if not places.learner_gpus or learner.offload.optimizer:
            parts["optimiser"] = size.parameters * (moments + master) / learner.world_size
        if not places.learner_gpus:
            parts["gradients"] = size.parameters * width / (learner.world_size if learner.zero_stage >= 2 else 1)
    return parts


def check_cache_holds_a_sequence(recipe: Recipe, size: PolicySize) -> None:
    """Refuse a key-value cache that could not hold a single sequence of the longest allowed length."""
    engine = recipe.rollout.engine
    per_token = size.cache_per_token * _BYTES[recipe.policy.dtype]
    needed = per_token * engine.max_model_len
    if needed > engine.kv_cache_gb * GIB:
        raise UserError(
            f"rollout.engine.kv_cache_gb {engine.kv_cache_gb:g} is too little memory for the engine's cache: one "
            f"sequence of rollout.engine.max_model_len {engine.max_model_len} x {per_token:,} bytes a token = "
            f"{needed / GIB:.3g} GiB; raise kv_cache_gb or lower max_model_len"
        )


def gib(size: float) -> str:
    """`1.5 GiB`"""
    return f"{size / GIB:.3g} GiB"
