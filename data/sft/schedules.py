"""Numbers that may change over a stage: a mixture's weights and the context length. Pure arithmetic on fractions.

A schedule is written as a number, as `{from: 0.6, to: 0.2}` (linear over the stage) or as `[[0.0, 0.6], [0.5, 0.2]]`
(each value from that fraction of the stage on).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TypeGuard

WEIGHT_FORMS = "a number from 0 up, {from: 0.6, to: 0.2} or steps such as [[0.0, 0.6], [0.5, 0.2]]"
CONTEXT_FORMS = "a whole number of tokens or growing steps such as [[0.0, 16384], [0.5, 32768]]"

Written = float | dict[str, float] | list[list[float]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A value that runs linearly from `first` to `last` while the stage runs from `start` to `end` (fractions)."""

    start: Fraction
    end: Fraction
    first: Fraction
    last: Fraction

    def at(self, fraction: Fraction) -> Fraction:
        return self.first + (self.last - self.first) * (fraction - self.start) / (self.end - self.start)


Schedule = tuple[Piece, ...]  # side by side from 0 to 1


def weight_schedule(written: object) -> Schedule:
    """The schedule of a weight as written. ValueError says what would be right."""
    if isinstance(written, dict):
        if set(written) != {"from", "to"} or not all(_is_weight(value) for value in written.values()):
            raise ValueError(f"weight is {written!r}; it takes {WEIGHT_FORMS}")
        return (Piece(Fraction(0), Fraction(1), exact(written["from"]), exact(written["to"])),)
    if isinstance(written, list | tuple):
        return _constant_pieces(_steps(written, "weight", _is_weight, WEIGHT_FORMS))
    if not _is_weight(written):
        raise ValueError(f"weight is {written!r}; it takes {WEIGHT_FORMS}")
    return _constant_pieces([(Fraction(0), exact(written))])


def context_steps(written: object) -> list[tuple[Fraction, int]]:
    """(fraction of the stage, tokens from there on) of a context as written. ValueError says what would be right."""
    steps = (
        _steps(written, "context", _is_context, CONTEXT_FORMS)
        if isinstance(written, list | tuple)
        else [(Fraction(0), exact(written))]
        if _is_context(written)
        else None
    )
    if steps is None:
        raise ValueError(f"context is {written!r}; it takes {CONTEXT_FORMS}")
    for (_, before), (_, after) in pairwise(steps):
        if after < before:
            raise ValueError(f"context falls from {before} to {after} tokens; within a stage it may only grow")
    return [(start, int(tokens)) for start, tokens in steps]


def largest_context(written: object) -> int:
    """The most tokens that a record of the stage may have."""
    return context_steps(written)[-1][1]


def first_draw(fraction: Fraction, draws: int) -> int:
    """The first of `draws` draws that lies at or after a fraction of the stage."""
    return math.ceil(fraction * draws)


def value_at(schedule: Schedule, fraction: Fraction) -> Fraction:
    """The value just from `fraction` on, below 1."""
    return next(piece.at(fraction) for piece in reversed(schedule) if piece.start <= fraction)


def exact(number: float) -> Fraction:
    """The number as it was written: 0.1 is one tenth."""
    return Fraction(repr(number))


def check_mixture(schedules: Sequence[Schedule]) -> None:
    """ValueError if at some time of the stage no weight is positive."""
    starts = sorted({piece.start for schedule in schedules for piece in schedule})
    for start, end in pairwise([*starts, Fraction(1)]):
        middle = (start + end) / 2
        if not any(value_at(schedule, middle) > 0 for schedule in schedules):
            raise ValueError(
                f"from {float(start):g} to {float(end):g} of the stage every weight is 0, so there is nothing to draw; "
                "give a source a weight there"
            )


def _constant_pieces(steps: Sequence[tuple[Fraction, Fraction]]) -> Schedule:
    ends = [*(start for start, _ in steps[1:]), Fraction(1)]
    return tuple(Piece(start, end, value, value) for (start, value), end in zip(steps, ends))


def _steps(
    written: Sequence[object], name: str, is_value: Callable[[object], TypeGuard[float]], forms: str
) -> list[tuple[Fraction, Fraction]]:
    """The steps of a stepwise schedule: ascending fractions, the first 0, all below 1."""
    steps: list[tuple[float, float]] = []
    for step in written:
        if not isinstance(step, list | tuple) or len(step) != 2 or not _is_number(step[0]) or not is_value(step[1]):
            raise ValueError(f"{name} has the step {step!r}; it takes {forms}")
        steps.append((step[0], step[1]))
    starts = [start for start, _ in steps]
    if not starts or starts[0] != 0 or any(b <= a for a, b in pairwise(starts)) or starts[-1] >= 1:
        raise ValueError(
            f"{name}: the steps begin at {starts} of the stage; the first must begin at 0.0 and each later one after "
            "the one before it and below 1.0"
        )
    return [(exact(start), exact(value)) for start, value in steps]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_weight(value: object) -> TypeGuard[float]:
    return _is_number(value) and value >= 0


def _is_context(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 2
