"""A program: a real learner rank's resident memory while it takes two optimiser steps, as JSON.

    resident_memory.py FOLDER TOKENS '[["none", 1], ...]'       a folder with config.json; (policy, ZeRO stage) a case

Prints [{"pass": bytes, "step": bytes}, ...]: the most above what the process had before the case, while documents go
through the model in the second step, and while its optimiser steps.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rank_pool import free_port


def resident(what: str) -> int:
    """Bytes: VmRSS now, VmHWM the most since `forget`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def forget() -> None:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def run(folder: Path, tokens: int, policy: Any, stage: Any, port: int) -> dict[str, int]:
    from reprise.learner.engine import Engine
    from reprise.learner.packing import document
    from reprise.learner.settings import CheckpointingSettings, TrainEngineSettings

    checkpointing = CheckpointingSettings(policy=policy)
    settings = TrainEngineSettings(zero_stage=stage, token_budget=tokens, checkpointing=checkpointing)
    rng = np.random.default_rng(0)
    forget()
    before = resident("VmRSS")
    engine = Engine(settings, folder, "float32", 1.0, 0, 1, "127.0.0.1", port, seed=0)
    seen: dict[str, int] = {}
    original = engine.engine.step

    def step() -> None:
        seen["pass"] = resident("VmHWM") - before
        forget()
        original()
        seen["step"] = resident("VmHWM") - before

    engine.engine.step = step
    for length in (32, tokens):  # the first makes the moments
        documents = [
            document(ids[: length - length // 8], ids[length - length // 8 :])
            for ids in rng.integers(0, 8000, (2, length + 1)).astype(np.int32)
        ]
        forget()
        engine.optimizer_step(documents, 1e-4, lambda share, logprobs, entropies: -logprobs.sum(), with_entropy=True)
    engine.close()
    return seen


def main() -> None:
    folder, tokens, cases = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    small = folder / "small"
    config.num_hidden_layers, config.vocab_size = 1, 8192
    AutoModelForCausalLM.from_config(config).save_pretrained(small)
    port = free_port()
    run(small, 64, "block", 1, port)  # imports, gloo, DeepSpeed's first use
    run(small, 64, "none", 3, port)
    print(json.dumps([run(folder, tokens, policy, stage, port) for policy, stage in cases]))


if __name__ == "__main__":
    main()
