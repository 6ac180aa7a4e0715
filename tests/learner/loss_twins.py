"""The losses a second time: full logits, float64, one token after another, straight from the formulas.

Slow and plain on purpose: the tests hold learner/logprobs.py and learner/losses/ against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from reprise.learner.settings import LearnerSettings


def full_log_softmax(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    """log softmax of all logits: float64[M, V] of hidden float64[M, H] and lm_head float64[V, H]."""
    return (hidden @ weight.T / temperature).log_softmax(-1)


def twin_total(
    name: str,
    settings: LearnerSettings,
    log_pi: Sequence[torch.Tensor],
    prox: Sequence[torch.Tensor],
    mu: Sequence[torch.Tensor],
    advantages: Sequence[float],
    reference: Sequence[torch.Tensor] | None,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The loss before its normaliser, and the counts of learner.losses.LossSum with `ratio_max` and `kl` (floats).

    Each sequence of tensors holds one float64[T_i] a trajectory, its trainable tokens; all gradients go to log_pi.
    """
    total = torch.zeros((), dtype=torch.float64)
    counts: dict[str, Any] = dict.fromkeys(("clip_low", "clip_high", "clip_dual", "is_truncated"), 0)
    counts |= {"ratio_max": -math.inf, "kl": 0.0}
    for i, advantage in enumerate(advantages):
        length = len(log_pi[i])
        total = total + 0.0 * log_pi[i].sum()  # a gradient, of zeros, where everything is clipped
        if name == "gspo":
            mean_ratio = sum(log_pi[i][t] - prox[i][t].item() for t in range(length)) / length
            mean_importance = sum(prox[i][t].item() - mu[i][t].item() for t in range(length)) / length
            ratio, importance = torch.exp(torch.as_tensor(mean_ratio)), math.exp(mean_importance)
            total = total + _clipped(ratio, importance, advantage, settings, counts, tokens=length)
        for t in range(length):
            ratio = torch.exp(log_pi[i][t] - prox[i][t].item())
            importance = math.exp(prox[i][t].item() - mu[i][t].item())
            if name in ("grpo", "dr_grpo"):
                total = total + _clipped(ratio, importance, advantage, settings, counts, tokens=1)
            if name == "cispo":
                total = total + _weighted(ratio.item(), importance, advantage, log_pi[i][t], settings, counts)
            if reference is not None:
                k3 = kl_estimate(log_pi[i][t], reference[i][t].item(), mu[i][t].item(), settings.importance_cap)
                total = total + settings.kl_coef * k3 / (length if name == "gspo" else 1)
                counts["kl"] += k3.item()
    return total, counts


def kl_estimate(log_pi: torch.Tensor, log_ref: float, log_mu: float, cap: float) -> torch.Tensor:
    """min(pi / mu, c) * (pi_ref / pi - 1 - log(pi_ref / pi)), with the gradient min(pi / mu, c) * log(pi / pi_ref)."""
    own = log_pi.item()
    weight = min(math.exp(own - log_mu), cap)
    value = weight * (math.exp(log_ref - own) - 1 - (log_ref - own))
    return value + weight * (own - log_ref) * (log_pi - own)


def _clipped(
    ratio: torch.Tensor,
    importance: float,
    advantage: float,
    settings: LearnerSettings,
    counts: dict[str, Any],
    tokens: int,
) -> torch.Tensor:
    """-w min(rho A, clip(rho) A), with a dual clip d no more than -w d A; its bounds count for `tokens` tokens."""
    low, high = settings.ratio_bounds
    if ratio.item() < low:
        bounded = torch.tensor(low, dtype=torch.float64)
    elif ratio.item() > high:
        bounded = torch.tensor(high, dtype=torch.float64)
    else:
        bounded = ratio
    counts["clip_low"] += tokens * (ratio.item() < low and advantage < 0)
    counts["clip_high"] += tokens * (ratio.item() > high and advantage > 0)
    counts["is_truncated"] += tokens * (importance > settings.importance_cap)
    counts["ratio_max"] = max(counts["ratio_max"], ratio.item())
    value = min(ratio * advantage, bounded * advantage)
    if settings.dual_clip is not None and advantage < 0 and ratio.item() > settings.dual_clip:
        counts["clip_dual"] += tokens
        value = torch.tensor(settings.dual_clip * advantage, dtype=torch.float64)
    return -min(importance, settings.importance_cap) * value


def _weighted(
    ratio: float,
    importance: float,
    advantage: float,
    log_pi: torch.Tensor,
    settings: LearnerSettings,
    counts: dict[str, Any],
) -> torch.Tensor:
    """-w clip(rho) A log pi, only the last with gradient."""
    low, high = settings.ratio_bounds
    counts["clip_low"] += ratio < low
    counts["clip_high"] += ratio > high
    counts["is_truncated"] += importance > settings.importance_cap
    counts["ratio_max"] = max(counts["ratio_max"], ratio)
    return -min(importance, settings.importance_cap) * min(max(ratio, low), high) * advantage * log_pi
