"""Losses over differentiable per-token log-probabilities, one algorithm a file.

To add one: write a file that ends with `LOSS = PolicyLoss(...)`, and name it in the recipe, `learner.loss:
./mine.py:LOSS`. A built-in one has an entry in `learner.settings.LOSSES` too.
"""

from __future__ import annotations

from reprise.core.errors import UserError
from reprise.core.plugins import resolve
from reprise.learner.losses.sft import sft
from reprise.learner.losses.tokens import LossSum, PolicyLoss, PolicyTokens
from reprise.learner.settings import LOSSES, LearnerSettings


def policy_loss(name: str) -> PolicyLoss:
    """The loss that a recipe's `learner.loss` names. UserError if it is none."""
    found = resolve(LOSSES[name].path if name in LOSSES else name, "learner.loss")
    if not isinstance(found, PolicyLoss):
        kind = type(found).__name__
        raise UserError(
            f"learner.loss: {name} is a {kind}, not a reprise.learner.losses.PolicyLoss(compute, normaliser)"
        )
    return found


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


__all__ = ["LossSum", "PolicyLoss", "PolicyTokens", "normaliser", "policy_loss", "sft"]
