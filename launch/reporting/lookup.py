"""Reading what a file of a run holds, of which everything may be missing or something else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def lookup(tree: Any, *keys: str) -> Any:
    """`tree[keys[0]][keys[1]]...`, or None where the path ends early."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def items(value: Any) -> Iterable[tuple[str, Any]]:
    """Of a mapping; nothing of anything else."""
    return value.items() if isinstance(value, Mapping) else ()


def number(value: Any) -> float:
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
