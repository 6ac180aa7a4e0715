"""Losses over differentiable per-token log-probabilities, one algorithm a file.

To add one: write its file, enter it in `POLICY_LOSSES`, and add its name to `LearnerSettings.loss`.
"""

from __future__ import annotations

from collections.abc import Callable

from learner.losses.grpo import grpo
from learner.losses.sft import sft
from learner.losses.tokens import LossSum, PolicyTokens
from learner.settings import LearnerSettings

POLICY_LOSSES: dict[str, Callable[[PolicyTokens, LearnerSettings], LossSum]] = {"grpo": grpo}

__all__ = ["POLICY_LOSSES", "LossSum", "PolicyTokens", "sft"]
