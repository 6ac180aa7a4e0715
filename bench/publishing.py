"""How fast do weights reach an engine, against copying the same bytes in memory?

The real cluster on a Qwen3 of each size: learner actor, publisher, transport and an idle vLLM engine. The clock runs
from the learner's call until the engine has resumed; the check that follows is not in it. The copy goes from one buffer
to another, both touched before, in one thread, between two updates.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import torch
from rows import Aim, Row
from stack import stack
from stand_ins import TimedLearnerActor
from transformers import Qwen3Config, Qwen3ForCausalLM

from reprise.models.tiny import character_tokenizer

AIM = Aim(at_least=0.3)
# Sizes in the proportions of small language models: a fifth to a quarter of the parameters is the (tied) embedding.
SIZES = {
    "4 MB": {"width": 128, "layers": 4, "heads": 2, "kv_heads": 1, "head_dim": 64, "ffn": 344, "vocabulary": 2048},
    "500 MB": {
        "width": 768,
        "layers": 16,
        "heads": 12,
        "kv_heads": 4,
        "head_dim": 64,
        "ffn": 2048,
        "vocabulary": 32768,
    },
}
_REPETITIONS = {"4 MB": (21, 7), "500 MB": (11, 3)}  # in full, quick
_COPIES = 5  # a repetition; the fastest counts: what the memory can do


async def measure(folder: Path, quick: bool) -> list[Row]:
    """One row a size; medians over the updates."""
    return [await _size(name, folder, _REPETITIONS[name][quick]) for name in SIZES]


async def _size(name: str, folder: Path, repetitions: int) -> Row:
    policy = _policy(folder / name.replace(" ", ""), **SIZES[name])
    overrides = [
        f"policy.path={policy}",
        "before=null",
        "rollout.engine.kv_cache_gb=0.25",
        "rollout.engine.max_num_seqs=8",
    ]
    seconds, copies, calls = [], [], []
    async with stack(folder, overrides, LearnerActor=TimedLearnerActor) as running:
        await running.cluster.learner_ready()
        await running.cluster.engines_ready()
        (learner,) = running.cluster.learner._ranks
        for version in range(repetitions + 2):  # the first two touch memory for the first time
            took, stages, report = await learner.handle.publish_timed.remote(version)
            if version >= 2:
                seconds.append(took)
                calls.append(stages)
                copies.append(_copy_seconds(report.nbytes))
    update, copy = median(seconds), median(copies)
    stages = {stage: 1e3 * median(c[stage] for c in calls) for stage in calls[0]}
    return Row(
        f"weights published, {name}",
        f"{report.nbytes / update / 1e9:.3g} GB/s ({1e3 * update:.3g} ms)",
        f"a memory copy: {report.nbytes / copy / 1e9:.3g} GB/s ({1e3 * copy:.3g} ms)",
        copy / update,
        AIM,
        {
            "nbytes": report.nbytes,
            "median_of": repetitions,
            "update_ms": [1e3 * s for s in seconds],
            "copy_ms": [1e3 * s for s in copies],
            "calls_ms": stages,
        },
    )


def _copy_seconds(nbytes: int) -> float:
    """Seconds to copy this many bytes between two buffers that are mapped already."""
    source, target = torch.ones(nbytes, dtype=torch.uint8), torch.ones(nbytes, dtype=torch.uint8)
    fastest = float("inf")
    for _ in range(_COPIES):
        started = time.perf_counter()
        target.copy_(source)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def _policy(
    folder: Path, *, width: int, layers: int, heads: int, kv_heads: int, head_dim: int, ffn: int, vocabulary: int
) -> Path:
    """A randomly initialised Qwen3 in float32; the demo's tokenizer knows the first of its tokens."""
    tokenizer = character_tokenizer()
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=ffn,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
