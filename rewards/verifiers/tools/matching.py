"""Are these the expected calls? Values compare by type, calls in any order, optional arguments may be left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from reprise.rewards.verifiers.tools.parsing import Call
from reprise.rewards.verifiers.tools.schemas import Schema, short
from reprise.rewards.verifiers.tools.views import Views

Strings = Literal["exact", "bfcl"]

_IGNORED = str.maketrans({"'": '"', **dict.fromkeys(" ,./-_*^")})


@dataclass(frozen=True, slots=True)
class Expected:
    """One expected call.

    arguments  the reference arguments
    accept     for an argument, further values that are right (or all of them, if it is not among `arguments`)
    optional   arguments that may be left out
    """

    name: str
    arguments: dict[str, object]
    accept: dict[str, list[object]] = field(default_factory=dict)
    optional: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of all its arguments."""
        return list(dict.fromkeys([*self.arguments, *self.accept]))

    def acceptable(self, name: str) -> list[object]:
        """All values that are right for this argument, the reference's own first."""
        return [*([self.arguments[name]] if name in self.arguments else []), *self.accept.get(name, [])]


def mismatch(
    expected: list[Expected], given: list[Call], functions: dict[str, Schema], ordered: bool, strings: Strings
) -> str:
    """What is wrong with the calls; empty if each is one of the expected calls and each of these is made once."""
    if len(expected) != len(given):
        return f"{len(given)} calls where {len(expected)} are expected"
    if ordered:
        pairs = zip(expected, given, strict=True)
        found = ((n, call_mismatch(one, call, functions, strings)) for n, (one, call) in enumerate(pairs))
        return next((f"call {n}: {what}" for n, what in found if what), "")
    what = [[call_mismatch(one, call, functions, strings) for one in expected] for call in given]
    matched = _matching([[not problem for problem in row] for row in what])
    for n, row in enumerate(what):
        if n not in matched:
            # Of several expected calls the nearest is the one of the same name, which sorts what is to be said.
            problems = [problem for one, problem in zip(expected, row, strict=True) if one.name == given[n].name]
            return f"call {n}: {next((each for each in problems if each), 'is expected less often')}"
    return ""


def call_mismatch(expected: Expected, given: Call, functions: dict[str, Schema], strings: Strings) -> str:
    """What is wrong with one call as an answer to one expected call; empty if it is right."""
    if expected.name != given.name:
        return f"{given.name!r} where {expected.name!r} is expected"
    schema = functions[expected.name]
    views = Views(schema, [schema])
    for name, value in given.arguments.items():
        place = views.member(name)
        acceptable = expected.acceptable(name) or place.defaults
        if not any(same(each, value, place, strings) for each in acceptable):
            unknown = "" if expected.acceptable(name) else "is not expected and not its default: "
            return f"argument {name!r}: {unknown}{short(value)}"
    for name in expected.names:
        if name not in given.arguments and name not in expected.optional:
            place = views.member(name)
            if not any(
                same(each, default, place, strings) for each in expected.acceptable(name) for default in place.defaults
            ):
                return f"argument {name!r} is missing"
    return ""


def same(expected: object, given: object, views: Views, strings: Strings) -> bool:
    """Whether two JSON values are equal.

    By type: `true` is not 1, "5" is not 5; 5 is 5.0 where the schema allows a `number`, else not. Arrays are compared
    in order, objects by key. Strings are compared exactly, or as BFCL does: without ` ,./-_*^`, case, or kind of
    quotation mark.
    """
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if isinstance(expected, (int, float)) and isinstance(given, (int, float)):
        return expected == given and (type(expected) is type(given) or views.numbers)
    if isinstance(expected, str) and isinstance(given, str):
        return _normal(expected, strings) == _normal(given, strings)
    if isinstance(expected, list) and isinstance(given, list):
        return len(expected) == len(given) and all(
            same(one, other, views.element(n), strings) for n, (one, other) in enumerate(zip(expected, given))
        )
    if isinstance(expected, dict) and isinstance(given, dict):
        return expected.keys() == given.keys() and all(
            same(value, given[key], views.member(key), strings) for key, value in expected.items()
        )
    return expected is None and given is None


def _normal(text: str, strings: Strings) -> str:
    return text.translate(_IGNORED).lower() if strings == "bfcl" else text


def _matching(right: list[list[bool]]) -> dict[int, int]:
    """A largest matching of rows to columns (augmenting paths). Greedy pairing would fail where one call may be any of
    two expected ones and another only the first of them."""
    row_of: dict[int, int] = {}

    def augment(row: int, tried: set[int]) -> bool:
        for column, good in enumerate(right[row]):
            if good and column not in tried:
                tried.add(column)
                if column not in row_of or augment(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    for row in range(len(right)):
        augment(row, set())
    return {row: column for column, row in row_of.items()}
