"""CISPO: the ratio is bounded and becomes a weight, so that no token's gradient is cut (MiniMax-M1, arXiv 2506.13585).

    rho = pi_theta / pi_prox          w = min(pi_prox / mu, c)          both without gradient
    L = -(1/N) sum  w * clip(rho, 1 - eps_low, 1 + eps_high) * A * log pi_theta          N: tokens

The paper leaves out the lower bound, as the default `clip_low` of 1 does, and tunes the upper one; the default bounds
rho at 5, amid what ScaleRL (arXiv 2510.13786) found to make no difference. Where nothing is clipped, the gradient is
GRPO's; the value is not, and means nothing by itself.
"""

from __future__ import annotations

from reprise.learner.losses.ratios import ratio_of
from reprise.learner.losses.reference_kl import reference_kl
from reprise.learner.losses.tokens import LossSum, PolicyLoss, PolicyTokens
from reprise.learner.settings import LearnerSettings


def cispo(tokens: PolicyTokens, settings: LearnerSettings) -> LossSum:
    """The sum over the tokens (the caller divides by the global N), and how often ratio and weight met their bounds."""
    low, high = settings.ratio_bounds

    importance = ratio_of(tokens.proximal - tokens.behaviour)
    weight = importance.clamp(max=settings.importance_cap)
    ratio = ratio_of(tokens.logprobs.detach() - tokens.proximal)
    loss = -(weight * ratio.clamp(low, high) * tokens.advantages * tokens.logprobs).sum()
    penalty, kl = reference_kl(tokens, settings)

    return LossSum(
        loss + penalty,
        clip_low=(ratio < low).sum(),
        clip_high=(ratio > high).sum(),
        is_truncated=(importance > settings.importance_cap).sum(),
        ratio=ratio,
        kl=kl,
    )


LOSS = PolicyLoss(cispo, "tokens")
