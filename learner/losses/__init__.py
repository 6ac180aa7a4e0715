"""Losses over differentiable per-token log-probabilities, one algorithm a file.

To add one: write its file, enter it in `POLICY_LOSSES`, and add its name to `LearnerSettings.loss`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from reprise.learner.losses.cispo import cispo
from reprise.learner.losses.dr_grpo import dr_grpo
from reprise.learner.losses.grpo import grpo
from reprise.learner.losses.gspo import gspo
from reprise.learner.losses.sft import sft
from reprise.learner.losses.tokens import LossSum, PolicyTokens
from reprise.learner.settings import LearnerSettings


@dataclass(frozen=True)
class PolicyLoss:
    """A sum over what a rank holds of a micro-batch, and what the sum over a whole optimiser step is divided by."""

    compute: Callable[[PolicyTokens, LearnerSettings], LossSum]
    normaliser: Literal["tokens", "sequences", "sequences_x_length"]


POLICY_LOSSES: dict[str, PolicyLoss] = {
    "grpo": PolicyLoss(grpo, "tokens"),
    "dr_grpo": PolicyLoss(dr_grpo, "sequences_x_length"),
    "gspo": PolicyLoss(gspo, "sequences"),
    "cispo": PolicyLoss(cispo, "tokens"),
}


def normaliser(loss: PolicyLoss, settings: LearnerSettings, tokens: int, sequences: int) -> float:
    """What an optimiser step's loss is divided by: `tokens` and `sequences` count its weighted trajectories everywhere.

    Raises ValueError if the loss needs `max_length` and it is not filled in.
    """
    if loss.normaliser == "tokens":
        return float(tokens)
    if loss.normaliser == "sequences":
        return float(sequences)
    if settings.max_length is None:
        raise ValueError(f"loss {settings.loss} is divided by sequences x max_length, and learner.max_length is null")
    return float(sequences * settings.max_length)


__all__ = ["POLICY_LOSSES", "LossSum", "PolicyLoss", "PolicyTokens", "normaliser", "sft"]
