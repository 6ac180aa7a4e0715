"""The tests of a task, read and checked when the data set is loaded. The record forms are those of `Task.answer`:

{"tests": [{"stdin": "…", "stdout": "…"}, …]}                                        a program: what it prints
{"function": "f", "tests": [{"args": […], "kwargs": {…}, "expected": …}, …]}         a function: what it returns
{"asserts": ["assert f(1) == 2", …], "setup": "import math"}                         assertions; setup is optional

`tolerance`, beside `tests`, lets numbers differ: a number (relative and absolute), or {"relative": …, "absolute": …}.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.rewards.verifiers.code.asserts import Assertion, read_assertion
from reprise.rewards.verifiers.code.compare import EXACT, Tolerance
from reprise.sandbox.base import JobLimits
from reprise.sandbox.inside import values


@dataclass(frozen=True, slots=True)
class StdinTest:
    """The program reads `stdin` and prints `stdout`."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallTest:
    """`function(*args, **kwargs)` returns `expected`, a JSON value."""

    function: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    expected: object


Test = StdinTest | CallTest | Assertion


@dataclass(frozen=True, slots=True)
class Problem:
    """What a candidate program is measured by."""

    tests: tuple[Test, ...]
    tolerance: Tolerance
    limits: JobLimits
    language: str = "python"


_FIELDS = {"stdin": {"stdin", "stdout"}, "call": {"args", "kwargs", "expected"}}


def read_problem(task: Task, defaults: JobLimits) -> Problem:
    """The tests and limits of a task. UserError naming the field that is wrong."""
    answer = task.answer
    if not isinstance(answer, dict):
        raise _wrong(task, "answer", "must be an object with `tests` or `asserts`", answer)
    if unknown := sorted(set(answer) - {"tests", "function", "asserts", "setup", "tolerance"}):
        raise _wrong(task, f"answer.{unknown[0]}", "is none of tests, function, asserts, setup, tolerance")
    tests: list[Test] = []
    if ("tests" in answer) == ("asserts" in answer):
        raise _wrong(task, "answer", "needs either `tests` or `asserts`")
    if "asserts" in answer:
        tests += _list(task, "answer.asserts", answer["asserts"], lambda at, each: _assertion(task, at, each, answer))
    elif "function" in answer:
        function = _name(task, answer["function"])
        tests += _list(task, "answer.tests", answer["tests"], lambda at, each: _call(task, at, each, function))
    else:
        tests += _list(task, "answer.tests", answer["tests"], lambda at, each: _stdin(task, at, each))
    if "setup" in answer and "asserts" not in answer:
        raise _wrong(task, "answer.setup", "goes with `asserts` only")
    return Problem(tuple(tests), _tolerance(task, answer), _limits(task, defaults), _language(task, tests))


def _list(task: Task, where: str, given: object, read: Callable[[str, object], Test]) -> list[Test]:
    if not isinstance(given, list) or not given:
        raise _wrong(task, where, "must be a list of at least one test", given)
    return [read(f"{where}[{i}]", each) for i, each in enumerate(given)]


def _stdin(task: Task, where: str, given: object) -> StdinTest:
    fields = _fields(task, where, given, _FIELDS["stdin"], "stdout")
    stdin, stdout = (_text(task, f"{where}.{name}", fields.get(name, "")) for name in ("stdin", "stdout"))
    return StdinTest(stdin, stdout)


def _text(task: Task, where: str, given: object, what: str = "a string") -> str:
    if not isinstance(given, str):
        raise _wrong(task, where, f"must be {what}", given)
    return given


def _call(task: Task, where: str, given: object, function: str) -> CallTest:
    fields = _fields(task, where, given, _FIELDS["call"], "expected")
    args, kwargs = fields.get("args", []), fields.get("kwargs", {})
    if not isinstance(args, list):
        raise _wrong(task, f"{where}.args", "must be a list", args)
    if not isinstance(kwargs, dict):
        raise _wrong(task, f"{where}.kwargs", "must be an object", kwargs)
    try:
        values.encode([args, kwargs])
    except values.ValueRefused as error:
        raise _wrong(task, where, f"cannot be called: its arguments are {error}") from error
    if _has_nan(fields["expected"]):
        raise _wrong(task, f"{where}.expected", "holds NaN, which equals nothing: no answer could pass")
    return CallTest(function, tuple(args), kwargs, fields["expected"])


def _assertion(task: Task, where: str, given: object, answer: Mapping[str, object]) -> Assertion:
    setup = _text(task, "answer.setup", answer.get("setup", ""), "Python source")
    source = _text(task, where, given, "Python source, such as 'assert f(1) == 2'")
    candidate = _name(task, answer["function"]) if "function" in answer else ""
    try:
        return read_assertion(source, setup, candidate)
    except (SyntaxError, ValueError) as error:
        raise _wrong(task, where, f"does not parse: {error}", given) from error


def _fields(task: Task, where: str, given: object, known: set[str], needed: str) -> dict[str, object]:
    if not isinstance(given, dict):
        raise _wrong(task, where, f"must be an object with {', '.join(sorted(known))}", given)
    if unknown := sorted(set(given) - known):
        raise _wrong(task, f"{where}.{unknown[0]}", f"is no field of such a test: {', '.join(sorted(known))}")
    if needed not in given:
        raise _wrong(task, f"{where}.{needed}", "is missing")
    return given


def _name(task: Task, given: object) -> str:
    if not isinstance(given, str) or not given.isidentifier() or keyword.iskeyword(given):
        raise _wrong(task, "answer.function", "must be the name of a function", given)
    return given


def _tolerance(task: Task, answer: Mapping[str, object]) -> Tolerance:
    given = answer.get("tolerance", 0)
    parts = given if isinstance(given, dict) else {"relative": given, "absolute": given}
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        for value in parts.values()
    )
    if set(parts) - {"relative", "absolute"} or not numbers:
        raise _wrong(task, "answer.tolerance", "must be a number of at least 0, or {relative: …, absolute: …}", given)
    return Tolerance(**parts) if any(parts.values()) else EXACT


def _limits(task: Task, defaults: JobLimits) -> JobLimits:
    seconds = _positive(task, "time_limit_s", defaults.cpu_s)
    # A busy machine is not the program's fault: time on the clock is twice that on the CPU, and a second to start in.
    wall = 2 * seconds + 1
    memory = _positive(task, "memory_limit_mb", defaults.memory_mb)
    return JobLimits(seconds, wall, math.ceil(memory), defaults.processes, defaults.disk_mb, defaults.output_bytes)


def _positive(task: Task, key: str, default: float) -> float:
    given = task.metadata.get(key, default)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 86_400:
        raise _wrong(task, f"metadata.{key}", "must be a number above 0", given)
    return float(given)


def _language(task: Task, tests: list[Test]) -> str:
    language = task.metadata.get("language", "python")
    if not isinstance(language, str):
        raise _wrong(task, "metadata.language", "must be a string", language)
    language = language.lower()
    if language != "python" and not all(isinstance(test, StdinTest) for test in tests):
        raise _wrong(task, "metadata.language", "other than python goes with tests of stdin and stdout only", language)
    return language


def _has_nan(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    if isinstance(value, list):
        return any(map(_has_nan, value))
    return isinstance(value, float) and math.isnan(value)


_NOT_GIVEN = object()


def _wrong(task: Task, field: str, what: str, given: object = _NOT_GIVEN) -> UserError:
    shown = "" if given is _NOT_GIVEN else f", not {str(given)[:80]!r}"
    return UserError(f"task {task.id!r}: {field} {what}{shown}")
