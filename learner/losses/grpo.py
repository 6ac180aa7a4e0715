"""GRPO with an asymmetric clip and a truncated importance weight: the objective of docs/architecture.md.

    rho = pi_theta / pi_prox          w = min(pi_prox / mu, c), no gradient
    L = -(1/N) sum  w * min(rho * A, clip(rho, 1 - eps_low, 1 + eps_high) * A)          N: tokens

Group advantages: DeepSeekMath, arXiv 2402.03300. Asymmetric clip and mean over tokens: DAPO, arXiv 2503.14476.
Decoupled pi_prox and mu: Hilton et al., arXiv 2110.00641. With `proximal: behaviour` the caller passes mu as pi_prox;
then rho = pi_theta / mu and w = 1, since c >= 1. `learner.dual_clip` also bounds rho where A < 0.
"""

from __future__ import annotations

from reprise.learner.losses.ratios import ratio_of, surrogate
from reprise.learner.losses.reference_kl import reference_kl
from reprise.learner.losses.tokens import LossSum, PolicyLoss, PolicyTokens
from reprise.learner.settings import LearnerSettings


def grpo(tokens: PolicyTokens, settings: LearnerSettings) -> LossSum:
    """The sum over the tokens (the caller divides by the global N), and what the clip and the cap did."""
    importance = ratio_of(tokens.proximal - tokens.behaviour)
    weight = importance.clamp(max=settings.importance_cap)
    ratio = ratio_of(tokens.logprobs - tokens.proximal)
    bounded = surrogate(ratio, tokens.advantages, settings)
    loss = -(weight * bounded.value).sum()
    penalty, kl = reference_kl(tokens, settings)

    return LossSum(
        loss + penalty,
        clip_low=bounded.clip_low,
        clip_high=bounded.clip_high,
        clip_dual=bounded.clip_dual,
        is_truncated=(importance > settings.importance_cap).sum(),
        ratio=ratio.detach(),
        kl=kl,
    )


LOSS = PolicyLoss(grpo, "tokens")
