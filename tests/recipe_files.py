"""A small valid recipe as a file, and policy folders that have a policy's headers but no weights worth loading."""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path
from typing import Any

import yaml

SMALL: dict[str, Any] = {
    "steps": 4,
    "policy": {"build": "recipe_files:build_policy"},
    "data": {"train": [{"generator": "recipe_files:tasks"}]},
    "rewards": {"verifiers": {"exact": {"use": "exact"}}},
    "buffer": {
        "batch_groups": 8,
        "fresh_fraction": 0.5,
        "max_groups": 64,
        "max_bytes_mb": 10,
        "starvation_groups": 50,
        "normalize_std": False,
        "truncated": "keep",
        "take_deadline_s": 60,
        "reuse": {"max_uses": 2, "max_age": 4},
    },
}

STAGE: dict[str, Any] = {
    "name": "imitation",
    "sources": [{"name": "sums", "generator": "recipe_files:records"}],
    "context": 32,
    "steps": 50,
    "lr": 1e-3,
}

PLAIN_TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


def write_recipe(folder: Path, name: str = "small.yaml", **sections: Any) -> Path:
    """`SMALL` with whole sections replaced, as a YAML file with its top-level keys in order."""
    content = {**copy.deepcopy(SMALL), "runs_dir": str(folder / "runs"), **sections}
    file = folder / name
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


def tasks() -> list[Any]:
    """Two tasks; a generator that a recipe names."""
    from reprise.core.types import Task

    return [Task(f"sum/{n}", f"{n}+1=", "addition", "exact", answer=str(n + 1)) for n in (1, 2)]


def records() -> list[dict[str, Any]]:
    """A conversation; a generator that an SFT recipe names."""
    return [{"messages": [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]}]


def no_records() -> list[str]:
    """What a recipe may name by mistake: it is called like a generator of records, and gives none."""
    return ["no record"]


def build_policy(out_dir: Path, seed: int) -> Path:
    """A builder that a recipe names; never called before a run starts."""
    raise AssertionError("nothing is built while a recipe is checked")


def build_windowed(out_dir: Path, seed: int) -> Path:
    """A builder that can say what it would make: layers that look back 64 tokens."""
    return build_policy(out_dir, seed)


def _windowed() -> Any:
    from transformers import Qwen3Config

    shape: dict[str, Any] = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    return Qwen3Config(**shape, use_sliding_window=True, sliding_window=64, max_window_layers=0)


build_windowed.config = _windowed  # type: ignore[attr-defined]


def write_policy_folder(
    folder: Path, layers: int = 2, vocabulary: int = 8, chat_template: str | None = PLAIN_TEMPLATE
) -> Path:
    """A policy folder with a whitespace tokenizer, a configuration, and weights that are nothing but a hole."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder.mkdir(parents=True)
    config = Qwen3Config(
        architectures=["Qwen3ForCausalLM"],
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        num_hidden_layers=layers,
        tie_word_embeddings=True,
    )
    config.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "<end>": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "unk_token": "?",
                "eos_token": "<end>",
                "chat_template": chat_template,
            }
        )
    )
    with torch.device("meta"):
        model = Qwen3ForCausalLM(config)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, parameter in model.named_parameters():
        begin, end = end, end + 4 * parameter.numel()
        header[name] = {"dtype": "F32", "shape": list(parameter.shape), "data_offsets": [begin, end]}
    written = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as weights:
        weights.write(struct.pack("<Q", len(written)) + written)
        weights.truncate(8 + len(written) + end)
    return folder
