"""The seeded stream of a stage's conversations: which record is trained on next, and how to go on after a stop."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from reprise.core.errors import UserError
from reprise.core.types import Int32
from reprise.data.cursors import require_same
from reprise.data.sft.mixture import MixtureSchedule, MixtureState, shares_at
from reprise.data.sft.schedules import Written, context_steps, first_draw, weight_schedule

Indices = npt.NDArray[np.int64]


class Draw(NamedTuple):
    """A record to train on: the index of its source, its index there, and which pass over the source it belongs to."""

    source: int
    record: int
    epoch: int


class _PassesState(TypedDict):
    epoch: int
    position: int
    marks: list[list[int]]
    repaid: int


class StreamState(TypedDict):
    """A cursor, JSON-serialisable."""

    drawn: int
    mixture: MixtureState
    sources: list[_PassesState]
    over: dict[str, object]


class SftStream:
    """Draws the records of a stage: source by mixture, within a source each record once an epoch, in a new order.

    A record that is longer than the context is deferred. As soon as the context has grown enough it is drawn before
    any other of its source, once for every epoch that passed it over, so that in the end each (record, epoch) that
    was reached was drawn once.

    The order is a function of the arguments alone, and the cursor is a handful of integers.

    Args:
        sources: (name, int32[N] tokens of each record). The name takes part in the seed, not the place.
        weights: of the sources, as written in the recipe.
        draws: of the whole stage.
        context: tokens, or [[fraction of the stage, tokens], ...] if it grows.
        stage: another number gives another order.

    Raises UserError if a source has to be drawn from while none of its records fits the context.
    """

    def __init__(
        self,
        sources: Sequence[tuple[str, Int32]],
        weights: Sequence[Written],
        seed: int,
        draws: int,
        context: int | list[list[float]],
        stage: int = 0,
    ) -> None:
        self._schedules = [weight_schedule(weight) for weight in weights]
        self._mixture = MixtureSchedule(self._schedules, draws)
        self._draws = draws
        self._drawn = 0
        steps = [(first_draw(fraction, draws), tokens) for fraction, tokens in context_steps(context)]
        self._contexts = [tokens for _, tokens in steps]
        self._growth = [draw for draw, _ in steps[1:]]
        self._grown = 0
        self._names = [name for name, _ in sources]
        self._passes = [
            _Passes(np.asarray(lengths), (seed, stage, zlib.crc32(name.encode())), self._contexts)
            for name, lengths in sources
        ]
        self._over: dict[str, object] = {
            "seed": seed,
            "sources": self._names,
            "weights": json.loads(json.dumps(list(weights))),
            "draws": draws,
            "context": [[first, tokens] for first, tokens in zip([0, *self._growth], self._contexts)],
            "numbers of records": [len(lengths) for _, lengths in sources],
            "digests of their lengths": [zlib.crc32(np.asarray(lengths, np.int32).tobytes()) for _, lengths in sources],
        }
        self._check_drawable(sources)

    def _check_drawable(self, sources: Sequence[tuple[str, Int32]]) -> None:
        ends = [*self._growth, self._draws]
        for (name, lengths), schedule in zip(sources, self._schedules):
            shortest = min(map(int, lengths), default=None)
            for context, begin, end in zip(self._contexts, [0, *self._growth], ends):
                weighted = any(
                    (piece.first or piece.last)
                    and max(begin, first_draw(piece.start, self._draws)) < min(end, first_draw(piece.end, self._draws))
                    for piece in schedule
                )
                if weighted and (shortest is None or shortest > context):
                    what = "it has no record" if shortest is None else f"its shortest record has {shortest} tokens"
                    raise UserError(
                        f"source {name}: it has a weight where the context is {context} tokens, but {what}; give it "
                        "weight 0 there, shorter records, or the stage a longer context"
                    )

    def __iter__(self) -> SftStream:
        return self

    def __len__(self) -> int:
        """Draws of the whole stage."""
        return self._draws

    @property
    def drawn(self) -> int:
        """Draws made so far."""
        return self._drawn

    @property
    def context(self) -> int:
        """Tokens that the next draw may have."""
        return self._contexts[sum(self._drawn >= draw for draw in self._growth)]

    def shares(self) -> dict[str, float]:
        """Each source's share of the draws at this point of the stage, by name."""
        middle = Fraction(2 * min(self._drawn, self._draws - 1) + 1, 2 * self._draws)
        return dict(zip(self._names, map(float, shares_at(self._schedules, middle))))

    def __next__(self) -> Draw:
        """The next record. StopIteration after the stage's last."""
        source = next(self._mixture)
        while self._grown < len(self._growth) and self._drawn >= self._growth[self._grown]:
            self._grown += 1
            for passes in self._passes:
                passes.grow()
        record, epoch = self._passes[source].next()
        self._drawn += 1
        return Draw(source, record, epoch)

    def state(self) -> StreamState:
        """The cursor, JSON-serialisable."""
        return {
            "drawn": self._drawn,
            "mixture": self._mixture.state(),
            "sources": [passes.state() for passes in self._passes],
            "over": self._over,
        }

    def load_state(self, state: StreamState) -> None:
        """Continues from a cursor. Raises UserError if it was saved with another seed, mixture, length or records."""
        require_same(state["over"], self._over)
        self._drawn = state["drawn"]
        self._mixture.load_state(state["mixture"])
        self._grown = len(state["sources"][0]["marks"])
        for passes, saved in zip(self._passes, state["sources"]):
            passes.load_state(saved)


class _Passes:
    """A source's records, pass by pass, as far as the context allows them."""

    def __init__(self, lengths: Int32, seed: tuple[int, ...], contexts: Sequence[int]) -> None:
        self._lengths = lengths
        self._seed = seed
        self._contexts = contexts
        self._epoch, self._position = 0, 0
        # Where the pass stood each time the context grew: what had been passed over by then follows from it.
        self._marks: list[tuple[int, int]] = []
        self._deferred: list[tuple[int, int]] = []
        self._repaid = 0
        self._cached: tuple[int, Indices] | None = None

    def next(self) -> tuple[int, int]:
        """(record, epoch)."""
        if self._repaid < len(self._deferred):
            self._repaid += 1
            return self._deferred[self._repaid - 1]
        context = self._contexts[len(self._marks)]
        while True:
            if self._position == len(self._lengths):
                self._epoch, self._position = self._epoch + 1, 0
            record = int(self._order(self._epoch)[self._position])
            self._position += 1
            if self._lengths[record] <= context:
                return record, self._epoch

    def grow(self) -> None:
        """The context has grown by a step."""
        self._marks.append((self._epoch, self._position))
        self._deferred += self._passed_over(len(self._marks) - 1)

    def _passed_over(self, mark: int) -> list[tuple[int, int]]:
        """(record, epoch) of what had been passed over at a mark and fits from there on, in the order of passing."""
        last, position = self._marks[mark]
        below, upto = self._contexts[mark : mark + 2]
        fits = (self._lengths > below) & (self._lengths <= upto)
        if not fits.any():
            return []
        found = []
        for epoch in range(last + 1):
            order = self._order(epoch)[: position if epoch == last else None]
            found += [(record, epoch) for record in order[fits[order]].tolist()]
        return found

    def _order(self, epoch: int) -> Indices:
        if self._cached is None or self._cached[0] != epoch:
            rng = np.random.default_rng((*self._seed, epoch))
            self._cached = (epoch, rng.permutation(len(self._lengths)))
        return self._cached[1]

    def state(self) -> _PassesState:
        return {
            "epoch": self._epoch,
            "position": self._position,
            "marks": [list(mark) for mark in self._marks],
            "repaid": self._repaid,
        }

    def load_state(self, state: _PassesState) -> None:
        self._epoch, self._position = state["epoch"], state["position"]
        self._marks = [(epoch, position) for epoch, position in state["marks"]]
        self._deferred = [pair for mark in range(len(self._marks)) for pair in self._passed_over(mark)]
        self._repaid = state["repaid"]
