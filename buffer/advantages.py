"""Group-relative advantages, and which groups teach nothing.

    A_i = (r_i - mean) / (std + 1e-6)

with the mean and the population standard deviation of the raw scores of the group's scored members; the division is
optional. Unparseable and infra-error trajectories are outside the mean, the deviation and the loss.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from reprise.core.types import Group

DELTA = 1e-6
MIN_VARIANCE = 1e-12


class Reason(StrEnum):
    """Why a group teaches nothing and is not stored."""

    TOO_FEW_SCORED = "too_few_scored"
    ZERO_VARIANCE = "zero_variance"
    ALL_MASKED = "all_masked"


def raw_scores(group: Group) -> npt.NDArray[np.float64]:
    """float64[G], the verifier's scores unrounded; NaN where a trajectory was not scored.

    Raises ValueError if a trajectory was not verified at all.
    """
    scores = []
    for trajectory in group.trajectories:
        if trajectory.verdict is None:
            raise ValueError(f"group {group.id!r} has a trajectory without a verdict: verify it first")
        scores.append(np.nan if trajectory.verdict.score is None else trajectory.verdict.score)
    return np.asarray(scores, dtype=np.float64)


def raw_variance(group: Group) -> float:
    """Population variance of the scored members' raw scores; 0 with fewer than two of them."""
    scores = raw_scores(group)
    scored = scores[~np.isnan(scores)]
    return float(scored.var()) if len(scored) > 1 else 0.0


def group_advantages(group: Group, normalize_std: bool, truncated: Literal["keep", "mask"]) -> Group:
    """The group with `advantages` float32[G] and `weighted` bool[G].

    `truncated="mask"` takes a truncated but scored trajectory out of the loss and leaves its score in the baseline. So
    does a log-probability that no sampled token has: its ratio would be infinite or undefined, and one token would cost
    the whole optimiser step.
    """
    scores = raw_scores(group)
    scored = ~np.isnan(scores)
    weighted = scored & np.array([t.has_valid_logprobs for t in group.trajectories], dtype=bool)
    if truncated == "mask":
        weighted &= ~np.array([t.truncated for t in group.trajectories], dtype=bool)
    advantages = np.zeros(len(scores))
    if raw_variance(group) >= MIN_VARIANCE:
        advantages[scored] = scores[scored] - scores[scored].mean()
        if normalize_std:
            advantages /= scores[scored].std() + DELTA
    advantages[~weighted] = 0.0
    return replace(group, advantages=advantages.astype(np.float32), weighted=weighted)


def teaches_nothing(group: Group) -> Reason | None:
    """Why a group that has its advantages gives no gradient, or None if it gives one."""
    assert group.advantages is not None
    assert group.weighted is not None
    if np.isfinite(raw_scores(group)).sum() < 2:
        return Reason.TOO_FEW_SCORED
    if raw_variance(group) < MIN_VARIANCE:
        return Reason.ZERO_VARIANCE
    has_tokens = np.array([t.trainable.any() for t in group.trajectories])
    if not (group.weighted & has_tokens & (group.advantages != 0)).any():
        return Reason.ALL_MASKED
    return None
