"""The optional KL term that every policy loss adds: KL(pi_theta || pi_ref), estimated on tokens that mu sampled.

    d = log(pi_ref / pi_theta)          r = min(pi_theta / mu, c)          both without gradient
    kl_coef * sum  r * (e^d - 1 - d)          its gradient in log pi_theta: -kl_coef * r * d

Value: k3 (Schulman, "Approximating KL divergence", 2020), never negative, with an importance weight. Gradient: that of
the KL itself, sum pi_theta * (log pi_theta - log pi_ref) * grad log pi_theta, with the same weight. k3's own gradient
is another one (on tokens of pi_theta, that of KL(pi_ref || pi_theta)) and has no bound; r * k3 with r in the graph has
this one (DeepSeek-V3.2, arXiv 2512.02556, section 3.1), with a cancellation that float32 does not survive.

What bias is left: c, `learner.importance_cap`, and prefixes, which are mu's.
"""

from __future__ import annotations

import torch

from reprise.learner.losses.ratios import LARGEST_LOG_RATIO, ratio_of
from reprise.learner.losses.tokens import PolicyTokens
from reprise.learner.settings import LearnerSettings


def reference_kl(
    tokens: PolicyTokens, settings: LearnerSettings, weights: torch.Tensor | float = 1.0
) -> tuple[torch.Tensor | float, torch.Tensor | None]:
    """kl_coef * sum(weights * r * k3) with the KL's gradient, and the detached sum of r * k3 for the metric.

    `weights`, float32[M] or a number, are those that the loss gives its own tokens. Without a reference: 0 and None.
    """
    if tokens.reference is None:
        return 0.0, None
    logprobs = tokens.logprobs.detach()
    ratio = ratio_of(logprobs - tokens.behaviour).clamp(max=settings.importance_cap)
    log_ratio = tokens.reference - logprobs
    held = log_ratio.clamp(max=LARGEST_LOG_RATIO)
    k3 = ratio * (torch.expm1(held) - held)  # expm1: the policies are close, and 1 would swallow the difference
    gradient = -ratio * log_ratio * (tokens.logprobs - logprobs)  # of the value 0
    return settings.kl_coef * (weights * (k3 + gradient)).sum(), k3.sum()
