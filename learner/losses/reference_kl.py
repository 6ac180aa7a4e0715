"""The optional KL term that every policy loss adds, by the k3 estimator of each token that was sampled.

    k3 = pi_ref / pi_theta - 1 - log(pi_ref / pi_theta)

Never negative, and unbiased for KL(pi_theta || pi_ref) on tokens of pi_theta (Schulman, "Approximating KL divergence",
2020; in the loss as in DeepSeekMath, arXiv 2402.03300, eq. 4). It is taken as it stands, without importance weight.
"""

from __future__ import annotations

import torch

from learner.losses.tokens import PolicyTokens
from learner.settings import LearnerSettings


def reference_kl(
    tokens: PolicyTokens, settings: LearnerSettings, weights: torch.Tensor | float = 1.0
) -> tuple[torch.Tensor | float, torch.Tensor | None]:
    """kl_coef * sum(weights * k3) with gradient, and the detached sum of k3 for the metric.

    `weights`, float32[M] or a number, are those that the loss gives its own tokens. Without a reference: 0 and None.
    """
    if tokens.reference is None:
        return 0.0, None
    log_ratio = tokens.reference - tokens.logprobs
    k3 = torch.expm1(log_ratio) - log_ratio  # expm1: the policies are close, and 1 would swallow the difference
    return settings.kl_coef * (weights * k3).sum(), k3.detach().sum()
