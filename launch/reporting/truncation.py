"""Responses that the token limit cuts off: a few are the price of a limit, many mean that it is too low."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import SupportsFloat

from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.verifiers import LEAST, WINDOW

BOUND = 0.25  # share of the responses beyond which a run warns
_FATE = {"keep": "keep trains on them as far as they go", "mask": "mask leaves them out of the loss"}


class TruncationWatch:
    """Warns once when the share of responses that were cut off, over the last steps, rises above `BOUND`."""

    def __init__(self, recipe: Recipe) -> None:
        fate = _FATE[recipe.buffer.truncated]
        self._advice = (
            f"were cut off by the token limit: rollout.max_response_tokens is {recipe.rollout.max_response_tokens}, in "
            f"rollout.engine.max_model_len {recipe.rollout.engine.max_model_len} with the prompt; raise them, or see "
            f"why the policy does not end its responses (buffer.truncated: {fate})"
        )
        self._steps: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._above = self._warned = False

    def step(self, metrics: Mapping[str, SupportsFloat]) -> list[str]:
        """The warning that the metrics of one more step give rise to, if any."""
        truncated, sampled = (float(metrics.get(f"trajectories/{n}", math.nan)) for n in ("truncated", "sampled"))
        if not math.isfinite(truncated + sampled):
            return []
        self._steps.append((truncated, sampled))
        if (share := _share(*map(sum, zip(*self._steps)))) <= BOUND:
            self._above = False
        elif len(self._steps) >= LEAST and not self._above:
            self._above = self._warned = True
            return [f"{share:.0%} of the responses of the last {len(self._steps)} steps {self._advice}"]
        return []

    def total(self, truncated: int, sampled: int) -> list[str]:
        """The warning of a whole run, if there was none yet: it may have had too few steps for it."""
        if self._warned or (share := _share(truncated, sampled)) <= BOUND:
            return []
        return [f"{share:.0%} of the responses of the run {self._advice}"]


def _share(truncated: float, sampled: float) -> float:
    return truncated / sampled if sampled else 0.0
