"""Optimiser steps that were skipped because something was not finite: how many in a row, and what that was."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

from reprise.core.errors import RunError


class NotFinite(IntEnum):
    """The first thing in a step that was not finite; a larger one explains the smaller ones."""

    GRADIENT = 0
    LOSS = 1
    LOGPROBS = 2


_NAMES = {
    NotFinite.GRADIENT: "the gradient of a finite loss",
    NotFinite.LOSS: "the loss, though the policy's log-probabilities were finite",
    NotFinite.LOGPROBS: "the policy's own log-probabilities",
}
_ADVICE = {
    NotFinite.GRADIENT: "The backward pass overflows: try a lower learning rate from an earlier checkpoint, "
    "policy.dtype float32, or another learner.attention. (learner.grad_clip cannot help: it scales finite gradients.)",
    NotFinite.LOSS: "What the loss is given is not finite or too large: look at the scores that verifiers give and at "
    "the engines' log-probabilities (policy/offpolicy_kl).",
    NotFinite.LOGPROBS: "The weights are broken or too large: go on from an earlier checkpoint with a lower learning "
    "rate, or use policy.dtype float32; if it is so from the first step on, look at the weights in policy.path.",
}


class TrainingStuck(RunError):
    """Too many optimiser steps in a row were skipped. The message says what was not finite and what to try."""


class SkippedSteps:
    """The steps skipped since the last one that was applied. At `limit` of them `skipped` raises `TrainingStuck`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._causes: Counter[NotFinite] = Counter()

    def applied(self) -> None:
        """A step changed the weights."""
        self._causes.clear()

    def skipped(self, cause: NotFinite, step: int) -> None:
        """Optimiser step `step`, counted from 1, was skipped."""
        self._causes[cause] += 1
        total = self._causes.total()
        if total >= self._limit:
            found = ", ".join(f"{_NAMES[cause]} ({count} times)" for cause, count in self._causes.most_common())
            raise TrainingStuck(
                f"{total} optimiser steps in a row were skipped, {step - total + 1} to {step} (learner.max_skipped = "
                f"{self._limit}): the weights have not changed since. Not finite was {found}. "
                f"{_ADVICE[max(self._causes, key=lambda c: self._causes[c])]}"
            )
