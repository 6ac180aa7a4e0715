"""GSPO: ratio, clip and importance weight belong to the whole sequence (arXiv 2507.18071, eq. 5 to 7).

    s_i = exp( mean_t log(pi_theta / pi_prox) )          w_i = min( exp( mean_t log(pi_prox / mu) ), c ), no gradient
    L = -(1/n) sum_i  w_i * min(s_i * A_i, clip(s_i, 1 - eps_low, 1 + eps_high) * A_i)          n: sequences

The means run over the sequence's |y_i| trainable tokens on all its sequence-parallel ranks; each of these tokens adds
1/|y_i| of the sequence's term, so that ranks add up to one. s_i is a geometric mean and stays far closer to 1 than a
token's ratio: the paper clips at 3e-4 and 4e-4, which are the defaults here. It has no truncated weight; w_i is ours,
and 1 where mu = pi_prox. `learner.dual_clip` also bounds s_i where A_i < 0.
"""

from __future__ import annotations

import torch

from reprise.learner.losses.ratios import ratio_of, surrogate
from reprise.learner.losses.reference_kl import reference_kl
from reprise.learner.losses.tokens import LossSum, PolicyLoss, PolicyTokens
from reprise.learner.settings import LearnerSettings


def gspo(tokens: PolicyTokens, settings: LearnerSettings) -> LossSum:
    """The sum over the sequences (the caller divides by their number), and what the clip and the cap did, in tokens."""
    owner = tokens.trajectories

    def of_sequence(log_ratios: torch.Tensor) -> torch.Tensor:
        """Geometric mean of each token's sequence: float32[M]."""
        return ratio_of(tokens.per_trajectory(log_ratios) / tokens.lengths)[owner]

    importance = of_sequence(tokens.proximal - tokens.behaviour)
    weight = importance.clamp(max=settings.importance_cap)
    ratio = of_sequence(tokens.logprobs - tokens.proximal)
    bounded = surrogate(ratio, tokens.advantages, settings)
    share = 1 / tokens.lengths[owner]
    loss = -(share * weight * bounded.value).sum()
    penalty, kl = reference_kl(tokens, settings, share)

    return LossSum(
        loss + penalty,
        clip_low=bounded.clip_low,
        clip_high=bounded.clip_high,
        clip_dual=bounded.clip_dual,
        is_truncated=(importance > settings.importance_cap).sum(),
        ratio=ratio.detach(),
        kl=kl,
    )


LOSS = PolicyLoss(gspo, "sequences")
