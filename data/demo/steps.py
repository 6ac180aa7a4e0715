"""The steps that the code domain's functions are made of: in words, as Python, and what they do.

Every step has *slips*, what it may be mistaken for: sloppy traces make them, and a task's tests are chosen to catch
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

# An int or a string, by the function's variable.
Value = Any

_NO_ARGUMENT: tuple[Value, ...] = ("",)
_LETTERS = tuple("abcxyz")


@dataclass(frozen=True, slots=True)
class _Operation:
    """A kind of step.

    words, code  templates of `{n}`, the argument, and `{v}`, the variable
    do           (value, argument) -> value, on plain Python values: no text is ever evaluated
    arguments    what `{n}` may be, in an order in which neighbours are easily confused
    sibling      the operation it is mistaken for
    """

    words: str
    code: str
    do: Callable[[Value, Value], Value]
    sibling: str
    arguments: tuple[Value, ...] = _NO_ARGUMENT


_ON_INTS: dict[str, _Operation] = {
    "add": _Operation("add {n}", "{v}+{n}", lambda x, n: x + n, "subtract", tuple(range(1, 10))),
    "subtract": _Operation("subtract {n}", "{v}-{n}", lambda x, n: x - n, "add", tuple(range(1, 10))),
    "multiply": _Operation("multiply by {n}", "{v}*{n}", lambda x, n: x * n, "add", tuple(range(2, 10))),
    "divide": _Operation("floor-divide by {n}", "{v}//{n}", lambda x, n: x // n, "modulo", tuple(range(2, 10))),
    "modulo": _Operation("modulo {n}", "{v}%{n}", lambda x, n: x % n, "divide", tuple(range(2, 10))),
    "square": _Operation("square", "{v}*{v}", lambda x, _: x * x, "double"),
    "double": _Operation("double", "{v}+{v}", lambda x, _: x + x, "square"),
    "negate": _Operation("negate", "-{v}", lambda x, _: -x, "absolute"),
    "absolute": _Operation("absolute value", "abs({v})", lambda x, _: abs(x), "negate"),
}
_ON_STRINGS: dict[str, _Operation] = {
    "reverse": _Operation("reverse", "{v}[::-1]", lambda s, _: s[::-1], "every second"),
    "every second": _Operation("every second letter", "{v}[::2]", lambda s, _: s[::2], "reverse"),
    "drop first": _Operation("drop the first {n}", "{v}[{n}:]", lambda s, n: s[n:], "drop last", (1, 2, 3)),
    "drop last": _Operation("drop the last {n}", "{v}[:-{n}]", lambda s, n: s[:-n], "drop first", (1, 2, 3)),
    "keep first": _Operation("keep the first {n}", "{v}[:{n}]", lambda s, n: s[:n], "keep last", (1, 2, 3, 4)),
    "keep last": _Operation("keep the last {n}", "{v}[-{n}:]", lambda s, n: s[-n:], "keep first", (1, 2, 3, 4)),
    "append": _Operation("append {n}", '{v}+"{n}"', lambda s, n: s + n, "prepend", _LETTERS),
    "prepend": _Operation("prepend {n}", '"{n}"+{v}', lambda s, n: n + s, "append", _LETTERS),
    "repeat": _Operation("repeat {n} times", "{v}*{n}", lambda s, n: s * n, "append", (2, 3, 4)),
    "upper": _Operation("upper case", "{v}.upper()", lambda s, _: s.upper(), "lower"),
    "lower": _Operation("lower case", "{v}.lower()", lambda s, _: s.lower(), "upper"),
}

# By the name of a function's parameter: what may be done to it, inputs on which such functions differ, and which of
# these (by index) are edge cases that every task tests.
OPERATIONS: Mapping[str, Mapping[str, _Operation]] = {"x": _ON_INTS, "s": _ON_STRINGS}
INPUTS: Mapping[str, Sequence[Value]] = {
    "x": (0, -7, 1, 3, 13, -2, 20, 8, 5, -16),
    "s": ("", "q", "Ab", "tEn", "Lamp", "orANGe", "Zebra Box", "kiwi7", "aXbYcZdW", "Hippopotamus"),
}
EDGES: Mapping[str, Sequence[int]] = {"x": (0, 1), "s": (0,)}


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the function's variable (`x`, an int, or `s`, a string), with its argument ("" if none)."""

    variable: str
    operation: str
    argument: Value = ""

    @property
    def words(self) -> str:
        return self._operation.words.format(n=self.argument)

    @property
    def code(self) -> str:
        """A Python expression of the variable."""
        return self._operation.code.format(v=self.variable, n=self.argument)

    def outputs(self, values: Sequence[Value]) -> list[Value]:
        """What the step makes of each value."""
        do = self._operation.do
        return [do(value, self.argument) for value in values]

    @property
    def _operation(self) -> _Operation:
        return OPERATIONS[self.variable][self.operation]


@cache
def slips(step: Step) -> tuple[Step, ...]:
    """What a step may be mistaken for: the neighbouring arguments, and the sibling operation. At least one."""
    arguments = OPERATIONS[step.variable][step.operation].arguments
    sibling = OPERATIONS[step.variable][step.operation].sibling
    at = arguments.index(step.argument)
    near = [*arguments[max(at - 1, 0) : at], *arguments[at + 1 : at + 2]]
    wrong = [Step(step.variable, step.operation, argument) for argument in near]
    if step.argument in OPERATIONS[step.variable][sibling].arguments:
        wrong.append(Step(step.variable, sibling, step.argument))
    return tuple(wrong)


def outputs(steps: Sequence[Step], inputs: Sequence[Value]) -> list[Value]:
    """What the function that takes these steps gives for each input."""
    return reduce(lambda values, step: step.outputs(values), steps, list(inputs))
