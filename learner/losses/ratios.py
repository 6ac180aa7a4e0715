"""Ratios of two policies, and what bounds them: shared by the policy losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reprise.learner.settings import LearnerSettings

# A log ratio is held at this: e^20 = 5e8 is far above every bound, and well below e^88.7, where float32 ends. The
# gradient of what is held is 0, where that of an overflow would be 0 * inf = NaN and cost the whole optimiser step.
LARGEST_LOG_RATIO = 20.0


def ratio_of(log_ratio: torch.Tensor) -> torch.Tensor:
    """exp(log_ratio), held at e^20 without gradient."""
    return log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """PPO's bounded ratio * advantage, to be maximised, and how many entries each bound took the gradient from.

    `clip_dual` is None without `learner.dual_clip`.
    """

    value: torch.Tensor
    clip_low: torch.Tensor
    clip_high: torch.Tensor
    clip_dual: torch.Tensor | None


def surrogate(ratio: torch.Tensor, advantages: torch.Tensor, settings: LearnerSettings) -> Surrogate:
    """min(rho * A, clip(rho, 1 - eps_low, 1 + eps_high) * A); with a dual clip d, where A < 0, at least d * A.

    PPO's minimum bounds no ratio whose advantage is negative, so that one stale token may outweigh a batch. The dual
    clip does (Ye et al., arXiv 1912.09729, eq. 5; verl's clip_ratio_c, TRL's delta).
    """
    low, high = settings.ratio_bounds
    value = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    cut = None
    if settings.dual_clip is not None:
        value = torch.where(advantages < 0, torch.maximum(value, settings.dual_clip * advantages), value)
        cut = ((ratio > settings.dual_clip) & (advantages < 0)).sum()
    return Surrogate(
        value,
        clip_low=((ratio < low) & (advantages < 0)).sum(),
        clip_high=((ratio > high) & (advantages > 0)).sum(),
        clip_dual=cut,
    )
