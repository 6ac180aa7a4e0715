"""Reading what a file of a run holds, of which everything may be missing or something else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def lookup(tree: object, *keys: str) -> object:
    """`tree[keys[0]][keys[1]]...`, or None where the path ends early."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def items(value: object) -> Iterable[tuple[str, object]]:
    """Of a mapping; nothing of anything else."""
    return value.items() if isinstance(value, Mapping) else ()


def number(value: object) -> float:
    """A float, NaN for anything that is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # JSON's integers have no end
        return math.nan


def formatted(value: float, spec: str) -> str:
    """A number, or a dash if it is none."""
    return format(value, spec) if math.isfinite(value) else "–"
