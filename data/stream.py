"""The endless, seeded, weighted stream of training tasks."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.cursors import digest, require_same

# What separates the stream's random draws from one another: choosing a source, ordering one.
_CHOICE, _ORDER = 0, 1


class StreamState(TypedDict):
    """A cursor, JSON-serialisable, with the ids of tasks that were drawn and came to nothing yet."""

    drawn: int
    drawn_from: list[int]
    again: list[str]
    over: dict[str, object]


class TaskStream:
    """Draws training tasks, source by weight, within a source each task once an epoch, every epoch in a new order.

    Each draw depends only on the seed and on how many came before it, so that the cursor is a handful of integers and
    a restored stream continues exactly where the saved one stopped.
    """

    def __init__(self, sources: Sequence[Sequence[Task]], weights: Sequence[float], seed: int) -> None:
        """`sources[i]` (not empty) is drawn from with probability `weights[i]`; the weights sum to 1."""
        self._sources = sources
        self._weights = list(weights)
        self._cumulative = np.cumsum(weights)
        self._seed = seed
        self._drawn = 0
        self._drawn_from = [0] * len(sources)
        self._orders: dict[int, tuple[int, npt.NDArray[np.int64]]] = {}
        self._again: deque[Task] = deque()

    def __iter__(self) -> TaskStream:
        return self

    def __next__(self) -> Task:
        """The next task; there always is one. Those that are to be posed again come first."""
        if self._again:
            return self._again.popleft()
        draw = np.random.default_rng((self._seed, _CHOICE, self._drawn)).random() * self._cumulative[-1]
        source = int(np.searchsorted(self._cumulative, draw, side="right"))
        epoch, position = divmod(self._drawn_from[source], len(self._sources[source]))
        task = self._sources[source][int(self._order(source, epoch)[position])]
        self._drawn += 1
        self._drawn_from[source] += 1
        return task

    def state(self, unfinished: Sequence[str] = ()) -> StreamState:
        """The cursor; `unfinished` are ids of tasks that were drawn and came to nothing yet."""
        return {
            "drawn": self._drawn,
            "drawn_from": list(self._drawn_from),
            "again": [*unfinished, *(task.id for task in self._again)],
            "over": self._over,
        }

    def restore(self, state: StreamState) -> None:
        """Continues from a cursor; tasks that had come to nothing are posed again, first and in their former order.

        Raises UserError if it was saved with another seed, or over other sources or weights.
        """
        require_same(state["over"], self._over)
        self._drawn = state["drawn"]
        self._drawn_from = list(state["drawn_from"])
        wanted = set(state["again"])
        by_id = {task.id: task for source in self._sources for task in source if task.id in wanted} if wanted else {}
        if lost := sorted(wanted - by_id.keys()):
            raise UserError(
                f"the checkpoint has {len(wanted)} unfinished tasks, of which the recipe's data lacks {lost[0]!r}; "
                "resume with the data the run was started with"
            )
        self._again = deque(by_id[task_id] for task_id in state["again"])

    @cached_property
    def _over(self) -> dict[str, object]:
        """What the cursor's numbers are about."""
        return {
            "seed": self._seed,
            "numbers of tasks": [len(source) for source in self._sources],
            "shares of the sources": self._weights,
            "digests of ids and prompts": [
                digest(text for task in source for text in (task.id, json.dumps(task.messages())))
                for source in self._sources
            ],
        }

    def _order(self, source: int, epoch: int) -> np.ndarray:
        cached = self._orders.get(source)
        if cached is None or cached[0] != epoch:
            rng = np.random.default_rng((self._seed, _ORDER, source, epoch))
            cached = self._orders[source] = (epoch, rng.permutation(len(self._sources[source])))
        return cached[1]
