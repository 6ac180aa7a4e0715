"""What a policy loss is given and what it returns, token by token."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, eq=False)
class PolicyTokens:
    """The weighted trainable tokens of one micro-batch, all float32[M]; only `logprobs` carries a gradient.

    logprobs    log pi_theta
    proximal    log pi_prox
    behaviour   log mu, as the engine recorded it
    advantages  of each token's trajectory
    """

    logprobs: torch.Tensor
    proximal: torch.Tensor
    behaviour: torch.Tensor
    advantages: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LossSum:
    """A policy loss before its normaliser, and what its bounds did.

    total         scalar with gradient: the sum over tokens
    clip_low      int scalar: tokens whose gradient is cut because the ratio is too low and the advantage negative
    clip_high     int scalar: ... too high and the advantage positive
    is_truncated  int scalar: tokens whose importance weight was capped
    ratio         float32[M]: the ratio that is clipped
    """

    total: torch.Tensor
    clip_low: torch.Tensor
    clip_high: torch.Tensor
    is_truncated: torch.Tensor
    ratio: torch.Tensor
