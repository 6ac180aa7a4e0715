"""Jobs for a `RankPool` on Motif-2: what ranks that share rows come to, and what becomes of λ's vectors in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rank_jobs
import torch

from reprise.learner.packing import Document
from reprise.learner.settings import LearnerSettings


def sft_step(
    rank: int, world_size: int, port: int, *, settings: LearnerSettings, folder: Path, documents: Sequence[Document]
) -> dict[str, Any]:
    """Log-probabilities, loss and gradients of the documents, and what this rank's attention was given.

    rows   the lengths of the documents of every row that was attended to
    heads  for each call: query heads, key-value heads, head width, and which query heads are signal heads
    """
    from reprise.learner.sft import sft_step

    with rank_jobs.learner(rank, world_size, port, settings, folder) as made:
        calls: list[dict[str, Any]] = []
        kernel = made.engine.policy.attend._kernel

        def recorded(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: Any, scaling: float) -> Any:
            half = query.shape[3] // 2
            signal = query[0, :, :, :half].detach().abs().amax((1, 2)) > 0
            noise = query[0, :, :, half:].detach().abs().amax((1, 2)) > 0
            assert bool((signal ^ noise).all()), "a query of Motif-2 is [q|0] or [0|q]"
            heads = (query.shape[1], key.shape[1], query.shape[3])
            calls.append({"row": list(row.lengths), "heads": heads, "signal": signal.tolist()})
            return kernel(query, key, value, row, scaling)

        made.engine.policy.attend._kernel = recorded
        logprobs = made.engine.document_logprobs(documents)
        with rank_jobs.gradients_before_each_step(made) as gradients:
            loss, _ = sft_step(made.engine, documents, settings.lr)
        return {"logprobs": logprobs, "loss": loss, "gradients": gradients[0], "calls": calls}


def many_small_steps(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    documents: Sequence[Document],
    steps: int,
) -> dict[str, Any]:
    """λ's vectors over SFT steps of a bfloat16 policy: float32 masters before the first and after every step, and what
    the policy computes with; and in the end λ of each layer as training has it and as the published weights give it."""
    from deepspeed.utils import safe_get_full_fp32_param

    from reprise.learner.engine import Engine
    from reprise.learner.sft import sft_step
    from reprise.models.motif2.attention import LAMBDAS

    made = Engine(settings, folder, "bfloat16", 1.0, rank, world_size, "127.0.0.1", port, seed=0)
    try:
        named = {n: p for n, p in made.policy.model.named_parameters() if n.rsplit(".", 1)[-1] in LAMBDAS}

        def masters() -> np.ndarray:
            return np.stack([safe_get_full_fp32_param(p).detach().cpu().numpy().copy() for p in named.values()])

        def held() -> np.ndarray:
            return np.stack([p.detach().float().cpu().numpy().copy() for p in named.values()])

        found: dict[str, Any] = {"masters": [masters()], "held": [held()]}
        found["types"] = {(safe_get_full_fp32_param(p).dtype, p.dtype) for p in named.values()}
        for _ in range(steps):
            sft_step(made, documents, settings.lr)
            found["masters"].append(masters())
            found["held"].append(held())
        published = dict(made.named_weights())
        layers = made.policy.model.model.layers
        found["lambdas"] = [layer.self_attn.lambda_full().item() for layer in layers]
        found["published"] = [
            {v: published[f"model.layers.{i}.self_attn.{v}"].float().cpu().numpy().copy() for v in LAMBDAS}
            for i in range(len(layers))
        ]
        return found
    finally:
        made.close()
