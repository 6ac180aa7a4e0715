"""Dr. GRPO: a token weighs the same whatever the length of its response and of the others (arXiv 2503.20783).

    L = -(1 / (n * L_max)) sum_i sum_t  w * min(rho * A_i, clip(rho, 1 - eps_low, 1 + eps_high) * A_i)

n counts sequences and L_max is `learner.max_length`, a constant. The terms are GRPO's (learner/losses/grpo.py), only
the normaliser differs. The paper also takes the standard deviation out of the advantages, as does
`buffer.normalize_std: false`; the dry run says so if it is left in.
"""

from __future__ import annotations

from reprise.learner.losses.grpo import grpo
from reprise.learner.losses.tokens import LossSum, PolicyLoss, PolicyTokens
from reprise.learner.settings import LearnerSettings


def dr_grpo(tokens: PolicyTokens, settings: LearnerSettings) -> LossSum:
    """The sum over the tokens (the caller divides by sequences * max_length), and what the clip and the cap did."""
    return grpo(tokens, settings)


LOSS = PolicyLoss(dr_grpo, "sequences_x_length")
