"""When an output is the expected one. Runs outside the sandbox, on plain values that `sandbox.inside.values` built.

Text (stdout): white space at the ends of lines and empty lines at the end are ignored; everything else is compared
exactly, numbers too. With a tolerance, words that are numbers on both sides may differ by it.

Values: types count as Python's `==` has them, but for these rules.
- `True` is not 1 and `False` is not 0; otherwise 2 equals 2.0. NaN equals nothing, itself included.
- A tuple equals a list only where the expected value came as JSON, which has no tuples. A set never equals a list.
- Keys of an expected JSON object are strings: a key of the result that is a number, True, False or None is compared as
  JSON would write it.
- With a tolerance, two numbers may differ by it, except as members of sets and keys.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|a - b| may be `absolute`, or `relative` times the larger of the two; 0 and 0: numbers must be equal."""

    relative: float = 0.0
    absolute: float = 0.0

    def __bool__(self) -> bool:
        return self.relative > 0 or self.absolute > 0

    def allows(self, a: float, b: float) -> bool:
        return a == b or (bool(self) and math.isclose(a, b, rel_tol=self.relative, abs_tol=self.absolute))


EXACT = Tolerance()
# No digit is given back (`++`): a word of many that is no number would take quadratic time.
_NUMBER = re.compile(r"[+-]?(\d++\.?\d*+|\.\d++)(e[+-]?\d++)?", re.ASCII | re.IGNORECASE)


def same_text(expected: str, actual: str, tolerance: Tolerance = EXACT) -> bool:
    """Whether a program printed what it should."""
    wanted, printed = _lines(expected), _lines(actual)
    if wanted == printed:
        return True
    if not tolerance or len(wanted) != len(printed):
        return False
    return all(_same_words(a.split(), b.split(), tolerance) for a, b in zip(wanted, printed))


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_words(expected: list[str], actual: list[str], tolerance: Tolerance) -> bool:
    if len(expected) != len(actual):
        return False
    return all(a == b or _same_number(a, b, tolerance) for a, b in zip(expected, actual))


def _same_number(expected: str, actual: str, tolerance: Tolerance) -> bool:
    if not (_NUMBER.fullmatch(expected) and _NUMBER.fullmatch(actual)):
        return False
    a, b = float(expected), float(actual)
    return math.isfinite(a) and math.isfinite(b) and tolerance.allows(a, b)


def same_value(expected: object, actual: object, *, from_json: bool, tolerance: Tolerance = EXACT) -> bool:
    """Whether a call returned what it should. `from_json`: the expected value came as JSON."""

    def same(a: object, b: object) -> bool:
        if isinstance(a, bool) or isinstance(b, bool):
            return a is b
        if isinstance(a, int | float) and isinstance(b, int | float):
            return tolerance.allows(a, b)
        if isinstance(a, list | tuple) and isinstance(b, list | tuple):
            alike = type(a) is type(b) or (from_json and isinstance(a, list))
            return alike and len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, dict) and isinstance(b, dict):
            return _same_mapping(a, _json_keys(b) if from_json else b)
        if isinstance(a, AbstractSet) and isinstance(b, AbstractSet):
            return _same_members(a, b)
        if isinstance(a, complex) or isinstance(b, complex):
            return isinstance(a, complex | int | float) and isinstance(b, complex | int | float) and a == b
        return type(a) is type(b) and bool(a == b)

    def _same_mapping(a: Mapping[object, object], b: Mapping[object, object] | None) -> bool:
        return b is not None and _same_members(a.keys(), b.keys()) and all(same(a[key], b[key]) for key in a)

    def _same_members(a: AbstractSet[object], b: AbstractSet[object]) -> bool:
        """Found by hash, where 1, 1.0 and True are one; then compared as all else, but exactly."""
        found = {member: member for member in b}
        return len(a) == len(b) and all(
            member in found and same_value(member, found[member], from_json=from_json) for member in a
        )

    try:
        return same(expected, actual)
    except (RecursionError, OverflowError):
        return False


def _json_keys(result: Mapping[object, object]) -> dict[object, object] | None:
    """The mapping as JSON would write its keys; None if two become one, or one is nothing JSON can write."""
    renamed: dict[object, object] = {}
    for key, value in result.items():
        if not isinstance(key, str):
            if not (key is None or isinstance(key, bool | int | float)):
                return None
            try:
                key = json.dumps(key)
            except ValueError:  # an integer of more digits than Python writes, and so no key of the expected object
                return None
        if key in renamed:
            return None
        renamed[key] = value
    return renamed
