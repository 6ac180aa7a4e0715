"""Which source each draw of a stage comes from: deterministic, so that a mixture is what was written, not on average.

Where weights are constant, every window of 1,000 draws holds each source within one of weight x 1,000 times, exactly so
often if that is whole. Where they change, every window of any length holds each of k sources within
1 + 1/2 + ... + 1/(k-1) of the integral of its weight. A source is never drawn while its weight is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TypedDict

from reprise.data.sft.schedules import Piece, Schedule, first_draw, value_at

WINDOW = 1000
# Weights that change are rounded to this part of 1: integers, so that a resumed sum is the same sum.
_UNIT = 2**40


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Draws `start` to `end` - 1, over which every weight is linear; shares at both ends, not normalised."""

    start: int
    end: int
    first: tuple[Fraction, ...]
    last: tuple[Fraction, ...]

    @property
    def constant(self) -> bool:
        return _shares(self.first) == _shares(self.last) if any(self.first) and any(self.last) else False


class MixtureState(TypedDict):
    """A cursor, JSON-serialisable."""

    drawn: int
    credits: list[int]


class MixtureSchedule:
    """The sources of a stage's draws, in order; each stretch between two steps of the weights is mixed by itself.

    Args:
        schedules: of each source's weight.
        draws: of the whole stage.
    """

    def __init__(self, schedules: Sequence[Schedule], draws: int) -> None:
        self._draws = draws
        self._stretches = _stretches(schedules, draws)
        self._drawn = 0
        self._at = 0
        self._rule = self._begin()

    def __iter__(self) -> MixtureSchedule:
        return self

    def __next__(self) -> int:
        """The index of the next draw's source."""
        if self._drawn >= self._draws:
            raise StopIteration
        if self._drawn == self._stretches[self._at].end:
            self._at += 1
            self._rule = self._begin()
        source = self._rule.source(self._drawn - self._stretches[self._at].start)
        self._drawn += 1
        return source

    def state(self) -> MixtureState:
        """The cursor, JSON-serialisable."""
        return {"drawn": self._drawn, "credits": self._rule.credits()}

    def load_state(self, state: MixtureState) -> None:
        """Continues from a cursor of the same schedules."""
        self._drawn = state["drawn"]
        self._at = next((i for i, s in enumerate(self._stretches) if s.start < self._drawn <= s.end), 0)
        self._rule = self._begin()
        self._rule.restore(state["credits"])

    def _begin(self) -> _Blocks | _Credits:
        stretch = self._stretches[self._at]
        return _Blocks(_shares(stretch.first)) if stretch.constant else _Credits(stretch)


class _Blocks:
    """Constant weights. Blocks of 1,000 slots; a slot has the same owner in every block, but for a few spare ones.

    A source owns floor(1,000 x weight) slots for good. The spare slots, fewer than there are sources, go block by block
    to the sources that are furthest behind, at most one each, and one that stays keeps its slot. So each source has the
    floor or the floor + 1 slots in any window of 1,000, wherever that begins.
    """

    def __init__(self, shares: Sequence[Fraction]) -> None:
        owned = [int(WINDOW * share) for share in shares]
        self._behind_by = [WINDOW * share - n for share, n in zip(shares, owned)]
        spare = WINDOW - sum(owned)
        # Spare slots are spread like those of one source more; in `_slots` the j-th is -1 - j.
        self._slots = smooth([*owned, spare])
        for j, slot in enumerate(i for i, source in enumerate(self._slots) if source == len(shares)):
            self._slots[slot] = -1 - j
        self._credit = [Fraction(0)] * len(shares)
        self._owners: list[int | None] = [None] * spare
        self._block = -1

    def source(self, n: int) -> int:
        """The source of the n-th draw; n must not fall by a block."""
        block, slot = divmod(n, WINDOW)
        while self._block < block:
            self._next_block()
        source = self._slots[slot]
        if source >= 0:
            return source
        owner = self._owners[-1 - source]
        assert owner is not None
        return owner

    def _next_block(self) -> None:
        self._block += 1
        self._credit = [credit + part for credit, part in zip(self._credit, self._behind_by)]
        wanting = [i for i, part in enumerate(self._behind_by) if part]
        chosen = sorted(wanting, key=lambda i: (-self._credit[i], i))[: len(self._owners)]
        for i in chosen:
            self._credit[i] -= 1
        newcomers = iter([i for i in chosen if i not in self._owners])
        self._owners = [owner if owner in chosen else next(newcomers) for owner in self._owners]

    def credits(self) -> list[int]:
        return []  # everything follows from the number of draws

    def restore(self, credits: Sequence[int]) -> None:
        pass


class _Credits:
    """Changing weights: each draw gives every source its weight as credit; the richest is drawn and pays 1.

    After each draw credits lie between 1/k - 1 and 1/2 + ... + 1/k: the j richest have on average at most
    1/(j+1) + ... + 1/k, because either one of them has just paid 1, or the one that paid was richer than they.
    """

    def __init__(self, stretch: _Stretch) -> None:
        self._first = [float(w) for w in stretch.first]
        self._step = [float((b - a) / (stretch.end - stretch.start)) for a, b in zip(stretch.first, stretch.last)]
        self._credit = [0] * len(self._first)

    def source(self, n: int) -> int:
        """The source of the n-th draw; n rises by one from call to call."""
        totals = list(accumulate(max(0.0, w + step * (n + 0.5)) for w, step in zip(self._first, self._step)))
        given = best = 0
        for i, total in enumerate(totals):
            upto = round(total / totals[-1] * _UNIT)
            self._credit[i] += upto - given
            given = upto
            if self._credit[i] > self._credit[best]:
                best = i
        self._credit[best] -= _UNIT
        return best

    def credits(self) -> list[int]:
        return list(self._credit)

    def restore(self, credits: Sequence[int]) -> None:
        self._credit = list(credits)


def smooth(counts: Sequence[int]) -> list[int]:
    """Source i `counts[i]` times, each spread evenly (smooth weighted round robin)."""
    total = sum(counts)
    credit = [0] * len(counts)
    order = []
    for _ in range(total):
        credit = [c + n for c, n in zip(credit, counts)]
        best = max(range(len(counts)), key=credit.__getitem__)
        credit[best] -= total
        order.append(best)
    return order


def shares_at(schedules: Sequence[Schedule], fraction: Fraction) -> list[Fraction]:
    """Each source's share of the draws at a fraction of the stage."""
    return _shares([value_at(schedule, fraction) for schedule in schedules])


def _shares(weights: Sequence[Fraction]) -> list[Fraction]:
    total = sum(weights, Fraction(0))
    return [weight / total for weight in weights]


def _stretches(schedules: Sequence[Schedule], draws: int) -> list[_Stretch]:
    """The stage, cut where a weight has a step; neighbours that go on alike are one."""
    cuts = sorted({piece.start for schedule in schedules for piece in schedule} | {Fraction(1)})
    found: list[_Stretch] = []
    for begin, end in pairwise(cuts):
        here = [next(p for p in reversed(schedule) if p.start <= begin) for schedule in schedules]
        first, last = (first_draw(fraction, draws) for fraction in (begin, end))
        if first == last:
            continue

        def at(draw: int, pieces: Sequence[Piece] = here) -> tuple[Fraction, ...]:
            return tuple(piece.at(Fraction(draw, draws)) for piece in pieces)

        stretch = _Stretch(first, last, at(first), at(last))
        if found and found[-1].constant and stretch.constant and _shares(found[-1].first) == _shares(stretch.first):
            found[-1] = _Stretch(found[-1].start, last, found[-1].first, stretch.last)
        else:
            found.append(stretch)
    return found
