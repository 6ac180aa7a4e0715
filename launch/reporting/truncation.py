"""Responses that the token limit cuts off: a few are the price of a limit, many mean that it is too low."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import SupportsFloat

from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.verifiers import ShareWatch

BOUND = 0.25  # share of the responses beyond which a run warns
_FATE = {"keep": "keep trains on them as far as they go", "mask": "mask leaves them out of the loss"}


class TruncationWatch(ShareWatch):
    """The same for the share of all responses that were cut off, beyond `BOUND`."""

    def __init__(self, recipe: Recipe) -> None:
        advice = (
            f"were cut off by the token limit: rollout.max_response_tokens is {recipe.rollout.max_response_tokens}, in "
            f"rollout.engine.max_model_len {recipe.rollout.engine.max_model_len} with the prompt; raise them, or see "
            "why the policy does not end its responses (buffer.truncated: "
            f"{_FATE[recipe.buffer.truncated]})"
        )
        super().__init__("truncated", BOUND, "responses", advice)

    def _parts(self, metrics: Mapping[str, SupportsFloat]) -> Iterator[tuple[str, float, float]]:
        truncated, sampled = (float(metrics.get(f"trajectories/{n}", math.nan)) for n in ("truncated", "sampled"))
        yield "", truncated, sampled

    def _warning(self, domain: str, share: float, when: str) -> str:
        return f"{share:.0%} of the {self._what} {when} {self._advice}"
