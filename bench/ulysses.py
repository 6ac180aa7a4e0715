"""What sequence parallelism gives and costs: `python bench/ulysses.py` prints one table, about two minutes.

One optimiser step on one row of fixed length, on one rank and on two that share it (gloo on CPU; two ranks are two
threads of the machine). Tokens a second are of the row; memory is the growth of a rank's peak resident size during the
steps over what it held after set-up; communication is the share of the step that rank 0 spends in attention's exchange.
"""

from __future__ import annotations

import os

# Before torch is imported, and for the ranks: one thread each, and a C library that gives freed memory back, or
# resident size would say what was once needed.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

import argparse
import multiprocessing as mp
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians over the steps: seconds, seconds in the exchange; and bytes of peak growth."""

    seconds: float
    exchange: float
    peak: float


def rank_main(rank: int, degree: int, port: int, folder: Path, tokens: int, steps: int, results: Any) -> None:
    import torch

    from reprise.learner.engine import Engine
    from reprise.learner.packing import document
    from reprise.learner.settings import CheckpointingSettings, TrainEngineSettings
    from reprise.learner.sft import sft_step

    torch.set_num_threads(1)
    settings = TrainEngineSettings(
        world_size=degree,
        sequence_parallel=degree,
        token_budget=tokens,
        optimizer="sgd",
        checkpointing=CheckpointingSettings(policy="none"),
    )
    engine = Engine(settings, folder, "float32", 1.0, rank, degree, "127.0.0.1", port, seed=0)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 1000, tokens + 1).astype(np.int32)
    documents = [document(ids[:1], ids[1:])]
    spent = [0.0]
    _time_exchanges(spent)

    sft_step(engine, documents, 1e-6)  # allocators warm up
    base = _resident()
    _reset_peak()
    seconds, exchange = [], []
    for _ in range(steps):
        spent[0] = 0.0
        began = time.perf_counter()
        sft_step(engine, documents, 1e-6)
        seconds.append(time.perf_counter() - began)
        exchange.append(spent[0])
    results.put((rank, Measured(float(np.median(seconds)), float(np.median(exchange)), _peak() - base)))


def _time_exchanges(spent: list[float]) -> None:
    import deepspeed.comm as dist

    exchange = dist.all_to_all_single

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        done = exchange(*args, **kwargs)
        spent[0] += time.perf_counter() - began
        return done

    dist.all_to_all_single = timed


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


def _resident() -> float:
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def measure(degree: int, folder: Path, tokens: int, steps: int) -> Measured:
    """Of rank 0; the others do the same at the same time."""
    context = mp.get_context("spawn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    results = context.Queue()
    ranks = [
        context.Process(target=rank_main, args=(rank, degree, port, folder, tokens, steps, results))
        for rank in range(degree)
    ]
    for process in ranks:
        process.start()
    measured = dict(results.get(timeout=600) for _ in ranks)
    for process in ranks:
        process.join(30)
    found: Measured = measured[0]
    return found


def build(folder: Path, width: int, layers: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=65536,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tokens", 4096), ("width", 512), ("layers", 6), ("steps", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    table = Table("sp", "tokens/s", "against sp 1", "peak memory a rank", "against sp 1", "communication")
    for column in table.columns:
        column.justify = "right"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build(folder, args.width, args.layers)
        alone: Measured | None = None
        for degree in (1, 2):
            got = measure(degree, folder, args.tokens, args.steps)
            alone = alone or got
            table.add_row(
                str(degree),
                f"{args.tokens / got.seconds:,.0f}",
                f"{alone.seconds / got.seconds:.2f}x",
                f"{got.peak / GIB:.2f} GiB",
                f"{got.peak / alone.peak:.2f}",
                f"{got.exchange / got.seconds:.1%}",
            )
    print(f"{args.layers} layers {args.width} wide, one row of {args.tokens:,} tokens, float32, one thread a rank")
    Console().print(table)


if __name__ == "__main__":
    main()
