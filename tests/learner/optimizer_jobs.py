"""Jobs for a `RankPool` on the small DeepSpeed engines of checkpoint_jobs."""

from __future__ import annotations

from typing import Any

import checkpoint_jobs as jobs
import numpy as np
import torch

from reprise.learner.settings import LearnerSettings


def masters(made: Any) -> jobs.Weights:
    """The float32 master weights, in full."""
    from deepspeed.utils import safe_get_full_fp32_param

    return {n: safe_get_full_fp32_param(p).detach().cpu().numpy().copy() for n, p in made.module.named_parameters()}


def train(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    dtype: str = "float32",
    micro: int = 1,
    steps: int = 3,
) -> jobs.Weights:
    with jobs.engine(rank, world_size, port, settings, dtype) as made:
        jobs.train(made, rank, world_size, range(steps), lr=settings.lr, micro=micro)
        return masters(made)


def add_up(
    rank: int, world_size: int, port: int, *, settings: LearnerSettings, dtype: str, gradients: list[list[float]]
) -> np.ndarray:
    """How far one SGD step of rate 1 moves a weight whose micro-batches have these gradients, rank by rank."""
    mine = gradients[rank]
    with jobs.engine(rank, world_size, port, settings, dtype) as made:
        before = masters(made)["up.weight"]
        for k, gradient in enumerate(mine):
            made.set_gradient_accumulation_boundary(k == len(mine) - 1)
            made.backward(made(None, gradient), scale_wrt_gas=False)
        for group in made.basic_optimizer.param_groups:
            group["lr"] = 1.0
        made.step()
        return before - masters(made)["up.weight"]


def spoil_a_step(
    rank: int, world_size: int, port: int, *, settings: LearnerSettings, dtype: str, value: float
) -> dict[str, Any]:
    """A good step, one with a gradient of `value` on rank 0 in the first of two micro-batches, and a good one."""
    with jobs.engine(rank, world_size, port, settings, dtype) as made:
        jobs.train(made, rank, world_size, range(1), micro=2)
        before, state = masters(made), states(made)
        spoilt = [True, False]
        handle = made.module.norm.weight.register_hook(
            lambda g: g * value if rank == 0 and spoilt and spoilt.pop(0) else g
        )
        jobs.train(made, rank, world_size, range(1, 2), micro=2)
        handle.remove()
        skipped, norm = not made.was_step_applied(), float(made.get_global_grad_norm())
        after, state_after = masters(made), states(made)
        jobs.train(made, rank, world_size, range(2, 3), micro=2)
        return {
            "skipped": skipped,
            "norm": norm,
            "before": before,
            "after": after,
            "same_state": all(torch.equal(a, b) for a, b in zip(state, state_after, strict=True)),
            "went_on": made.was_step_applied() and bool((masters(made)["up.weight"] != after["up.weight"]).any()),
            "finite": all(np.isfinite(v).all() for v in masters(made).values()),
        }


def states(made: Any) -> list[torch.Tensor]:
    of_all = made.basic_optimizer.state.values()
    return [torch.as_tensor(value).clone() for state in of_all for value in state.values()]
