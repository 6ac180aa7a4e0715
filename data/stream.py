"""The endless, seeded, weighted stream of training tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from buffer.errors import UserError
from buffer.types import Task

# What separates the stream's random draws from one another: choosing a source, ordering one.
_CHOICE, _ORDER = 0, 1


class TaskStream:
    """Draws training tasks, source by weight, within a source each task once an epoch, every epoch in a new order.

    Each draw depends only on the seed and on how many came before it, so that the cursor is a handful of integers and
    a restored stream goes on exactly where the saved one stopped.
    """

    def __init__(self, sources: Sequence[Sequence[Task]], weights: Sequence[float], seed: int) -> None:
        """`sources[i]` (not empty) is drawn from with probability `weights[i]`; the weights sum to 1."""
        self._sources = sources
        self._cumulative = np.cumsum(weights)
        self._seed = seed
        self._drawn = 0
        self._drawn_from = [0] * len(sources)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    def __iter__(self) -> TaskStream:
        return self

    def __next__(self) -> Task:
        """The next task; there always is one."""
        draw = np.random.default_rng((self._seed, _CHOICE, self._drawn)).random() * self._cumulative[-1]
        source = int(np.searchsorted(self._cumulative, draw, side="right"))
        epoch, position = divmod(self._drawn_from[source], len(self._sources[source]))
        task = self._sources[source][self._order(source, epoch)[position]]
        self._drawn += 1
        self._drawn_from[source] += 1
        return task

    def state(self) -> dict[str, Any]:
        """The cursor, JSON-serialisable."""
        return {"drawn": self._drawn, "drawn_from": list(self._drawn_from), "sizes": [len(s) for s in self._sources]}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a cursor. Raises UserError if it was saved over sources of other sizes."""
        sizes = [len(source) for source in self._sources]
        if state["sizes"] != sizes:
            raise UserError(
                f"the saved cursor belongs to sources of {state['sizes']} tasks, but the recipe's now have {sizes}; "
                "resume with the data the run was started with"
            )
        self._drawn = state["drawn"]
        self._drawn_from = list(state["drawn_from"])

    def _order(self, source: int, epoch: int) -> np.ndarray:
        cached = self._orders.get(source)
        if cached is None or cached[0] != epoch:
            rng = np.random.default_rng((self._seed, _ORDER, source, epoch))
            cached = self._orders[source] = (epoch, rng.permutation(len(self._sources[source])))
        return cached[1]
