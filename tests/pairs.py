"""Which of many combinations a test must see so that it has seen every pair of values."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import pytest

Pair = tuple[int, Hashable, int, Hashable]


def pairs_of(case: Sequence[Hashable]) -> set[Pair]:
    """The pairs of values in a case, with their places."""
    return {(i, a, j, b) for (i, a), (j, b) in combinations(enumerate(case), 2)}


def covering(cases: Sequence[Sequence[Hashable]]) -> list[int]:
    """Places of cases that together have every pair of values that any case has: few, if not the fewest."""
    wanted = set().union(*map(pairs_of, cases))
    chosen = []
    while wanted:
        best = max(range(len(cases)), key=lambda i: len(wanted & pairs_of(cases[i])))
        chosen.append(best)
        wanted -= pairs_of(cases[best])
    return sorted(chosen)


def every_pair(cases: Sequence[Sequence[Hashable]]) -> list[Any]:
    """Parameters of a test: all cases, those that no pair needs in `make test-full` only."""
    chosen = set(covering(cases))
    return [
        pytest.param(*case, marks=[] if i in chosen else [pytest.mark.full], id="-".join(map(_named, case)))
        for i, case in enumerate(cases)
    ]


def _named(value: Hashable) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
