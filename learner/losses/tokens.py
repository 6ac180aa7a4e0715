"""What a policy loss is given and what it returns, token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from reprise.learner.settings import LearnerSettings


def identity(values: torch.Tensor) -> torch.Tensor:
    """The sum over sequence-parallel ranks where there is only one."""
    return values


@dataclass(frozen=True, slots=True, eq=False)
class PolicyTokens:
    """The weighted trainable tokens of a micro-batch that this rank holds; only `logprobs` carries a gradient.

    Sequence-parallel ranks hold different tokens of the same B trajectories; M may be 0 on one of them.

    logprobs      float32[M]: log pi_theta
    proximal      float32[M]: log pi_prox
    behaviour     float32[M]: log mu, as the engine recorded it
    advantages    float32[M]: of each token's trajectory
    trajectories  int64[M]: index 0..B-1 of each token's trajectory in the micro-batch
    lengths       float32[B]: trainable tokens of each whole trajectory, on all ranks together; at least 1
    reference     float32[M]: log pi_ref, if a reference policy is held
    across        differentiable sum over the ranks that share the micro-batch. Every rank calls it the same number of
                  times, so no loss may call it depending on the tokens it holds.
    """

    logprobs: torch.Tensor
    proximal: torch.Tensor
    behaviour: torch.Tensor
    advantages: torch.Tensor
    trajectories: torch.Tensor
    lengths: torch.Tensor
    reference: torch.Tensor | None = None
    across: Callable[[torch.Tensor], torch.Tensor] = identity

    def per_trajectory(self, values: torch.Tensor) -> torch.Tensor:
        """Sum of values, float32[M], over each trajectory's tokens on all its ranks: float32[B], differentiable."""
        return self.across(torch.zeros_like(self.lengths).index_add(0, self.trajectories, values))


@dataclass(frozen=True, slots=True, eq=False)
class LossSum:
    """This rank's share of a policy loss before its normaliser, and what its bounds did.

    Shares add up: the sum over ranks and micro-batches is the whole loss, whatever the split.

    total         scalar with gradient
    clip_low      int scalar: tokens whose gradient is cut because the ratio is too low and the advantage negative
    clip_high     int scalar: ... too high and the advantage positive (cispo, which cuts none: whose ratio was bounded)
    clip_dual     int scalar: ... above learner.dual_clip and the advantage negative; None without one
    is_truncated  int scalar: tokens whose importance weight was capped
    ratio         float32[M]: the ratio that is clipped, without gradient
    kl            scalar: sum over the tokens of KL(pi_theta || pi_ref) by weighted k3, nats, without gradient; None
                  without a reference
    """

    total: torch.Tensor
    clip_low: torch.Tensor
    clip_high: torch.Tensor
    is_truncated: torch.Tensor
    ratio: torch.Tensor
    kl: torch.Tensor | None = None
    clip_dual: torch.Tensor | None = None


@dataclass(frozen=True)
class PolicyLoss:
    """A sum over what a rank holds of a micro-batch, and what the sum over a whole optimiser step is divided by."""

    compute: Callable[[PolicyTokens, LearnerSettings], LossSum]
    normaliser: Literal["tokens", "sequences", "sequences_x_length"]
