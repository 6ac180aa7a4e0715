"""Runs an assertion that cannot be split: the tester in one job, each call of the candidate in another.

The tester is run from its beginning each time with the results so far; where it needs one more, it ends and says which.
So no job waits for another. A test of many calls is foreseen, so that a few runs of the tester do. What the candidate
does to its arguments does not come back, and it keeps no state between calls.
"""

from __future__ import annotations

import ast
import cmath
import json
import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from reprise.rewards.verifiers.code.asserts import Assertion
from reprise.sandbox.base import Call, Ending, Job, JobResult
from reprise.sandbox.inside import values

MAX_CALLS = 1000  # of the candidate, in one assertion
_FORESEEN_AFTER = 1  # calls; a test of one is not worth it, nor is one that fails at once
_SHARE = 10  # a call may take a tenth of a test's limits on average, and all together one test's limits more
_TRAFFIC = 16  # times `output_bytes`, of results that are sent to testers
_PROGRAM = Path(__file__).with_name("tester_program.py").read_text(encoding="utf-8")
_NAMES_THEM = re.compile(r"(?<![a-z])(is|pos|neg|plus|minus)?_?(nan|inf|infinity|infty|finite)(?![a-z])", re.IGNORECASE)

_READS_NUMBERS = re.compile(r"\b(float|complex|Decimal|literal_eval|loads|float64|array)\b")
_WRITTEN = re.compile(r"(?<![a-z])(nan|inf|infinity)(?![a-z])|\de\+?\d{3}", re.IGNORECASE)

_Said = list[Any]  # of the tester's program: a word or a key, and what belongs to it


@dataclass(frozen=True, slots=True)
class Tested:
    """passed, or not and why; `ended` is how the candidate's or the tester's job ended, if not well."""

    passed: bool
    explanation: str = ""
    ended: JobResult | None = None


def run_assertion(assertion: Assertion, candidate: Job, run: Callable[[Job], JobResult]) -> Tested:
    """Whether the program of `candidate`, a job without a call, passes.

    INFRA only for what does not depend on the program: a tester that fails before its first call, a test that by itself
    calls more than MAX_CALLS times.
    """
    return _Test(assertion, candidate, run).result()


class _Ended(Exception):
    """The test is over before it could say whether it passes."""

    def __init__(self, ending: Ending, why: str) -> None:
        self.tested = Tested(False, why, JobResult(ending, explanation=why))


class _Test:
    def __init__(self, assertion: Assertion, candidate: Job, run: Callable[[Job], JobResult]) -> None:
        self._assertion, self._candidate, self._run = assertion, candidate, run
        self._answers: dict[str, list[object]] = {}  # by the call's key, as the tester wants them
        self._asked = ""  # the key of the call that it needed last
        self._bytes = self._traffic = 0
        self._cpu_s = self._wall_s = 0.0
        source = assertion.setup + assertion.source
        self._takes_all = _names_nan_or_infinity(source)
        self._reads_numbers = _READS_NUMBERS.search(source) is not None

    def result(self) -> Tested:
        try:
            return self._result()
        except _Ended as end:
            return end.tested

    def _result(self) -> Tested:
        foreseen: deque[_Said] = deque()
        at_a_time = 0
        while True:
            outcome, *rest = self._tested()
            if outcome == "passed":
                return Tested(True)
            if outcome == "wavers":
                raise _Ended(Ending.INFRA, "the test itself calls the program otherwise each time it is run")
            if outcome == "failed":
                if not self._answers:
                    raise _Ended(Ending.INFRA, f"the test itself failed before any call: {rest[0]}")
                return Tested(False, str(rest[0]))
            if len(self._answers) >= MAX_CALLS:
                self._refuse_many()
            if len(self._answers) == _FORESEEN_AFTER:
                foreseen, at_a_time = deque(self._foreseen(True)), 2
            self._answer(*rest)
            for _ in range(min(at_a_time, len(foreseen), MAX_CALLS - len(self._answers))):
                if not self._answered(*foreseen.popleft()):
                    foreseen.clear()  # if the test does ask for it, that will count
                    break
            at_a_time *= 2

    # --- the tester ---------------------------------------------------------------------------------------------------

    def _tested(self) -> _Said:
        """["passed"], ["failed", why], ["wavers"] or ["call", key, name, args, kwargs]."""
        self._traffic += self._bytes
        if self._traffic > _TRAFFIC * self._candidate.limits.output_bytes:
            raise _Ended(Ending.OUTPUT_LIMIT, "its calls return too much")
        tester = self._ask("run", self._answers, self._asked)
        said = tester.value
        if tester.ending is Ending.OK and isinstance(said, list) and said:
            return said
        # With no result of the candidate in it, it is the data set's fault; else a value may have made it hang.
        ending = tester.ending if self._answers and tester.ending is not Ending.OK else Ending.INFRA
        raise _Ended(ending, f"the test itself ended with {tester.ending}: {tester.explanation}")

    def _foreseen(self, truth: bool) -> list[_Said]:
        """Calls that the test seems to make; none if that is not clear."""
        said = self._ask("foresee", truth, MAX_CALLS).value
        return said if isinstance(said, list) else []

    def _ask(self, function: str, *more: object) -> JobResult:
        given = self._assertion
        args = (given.source, given.setup, list(given.stand_ins), given.candidate, *more)
        tester = self._run(Job(source=_PROGRAM, call=Call(function, args), limits=self._candidate.limits))
        self._charge(tester)
        return tester

    def _refuse_many(self) -> NoReturn:
        """Nobody's fault but the data set's, if the calls are as many whatever comes of them."""
        by_itself = all(len(self._foreseen(truth)) > MAX_CALLS for truth in (True, False))
        why = f"calls the program more than {MAX_CALLS} times"
        raise _Ended(Ending.INFRA if by_itself else Ending.TIMEOUT, why)

    # --- the candidate ------------------------------------------------------------------------------------------------

    def _answer(self, key: str, name: str, args: list[object], kwargs: dict[str, object]) -> None:
        """Make a call that the test needs."""
        self._asked = key
        result = self._call(name, args, kwargs)
        if result.ending is Ending.OK and not self._may_be(result.value):
            raise _Ended(Ending.INVALID_RESULT, "it returned NaN or infinity, which the test does not speak of")
        if not self._kept(key, result):
            raise _Ended(result.ending, result.explanation)

    def _answered(self, key: str, name: str, args: list[object], kwargs: dict[str, object]) -> bool:
        """Make a call that the test may need; False if that ends badly."""
        return key in self._answers or self._kept(key, self._call(name, args, kwargs))

    def _call(self, name: str, args: list[object], kwargs: dict[str, object]) -> JobResult:
        result = self._run(replace(self._candidate, call=Call(name, args, kwargs)))
        self._charge(result)
        return result

    def _may_be(self, value: object) -> bool:
        return self._takes_all or not has_nan_or_infinity(value, self._reads_numbers)

    def _kept(self, key: str, result: JobResult) -> bool:
        if result.ending is Ending.OK and self._may_be(result.value):
            answer = [True, result.value]
        elif result.ending is Ending.CRASH and result.raised:
            message = result.explanation.removeprefix(result.raised).removeprefix(": ")
            answer = [False, result.raised, message]
        else:
            return False
        self._bytes += sum(len(json.dumps(values.encode(each))) for each in answer)
        if self._bytes > self._candidate.limits.output_bytes:
            raise _Ended(Ending.OUTPUT_LIMIT, "its calls return too much")
        self._answers[key] = answer
        return True

    def _charge(self, result: JobResult) -> None:
        """All calls together share the limits of a test, and a tenth of them for each."""
        self._cpu_s += result.cpu_s
        self._wall_s += result.wall_s
        shares = 1 + (len(self._answers) + 1) / _SHARE
        limits = self._candidate.limits
        if self._cpu_s > shares * limits.cpu_s or self._wall_s > shares * limits.wall_s:
            raise _Ended(Ending.TIMEOUT, f"{len(self._answers)} calls took {self._cpu_s:.1f} s of CPU")


def has_nan_or_infinity(value: object, written: bool) -> bool:
    """Anywhere in it; in texts only if they count as `written` numbers."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return any(has_nan_or_infinity(each, written) for each in value)
    if isinstance(value, str):
        return written and _WRITTEN.search(value) is not None
    return isinstance(value, float | complex) and not cmath.isfinite(value)


def _names_nan_or_infinity(source: str) -> bool:
    """Else neither is what a test expects, but both slip through comparisons: `not abs(f(x) - y) > 0.1`."""
    if _NAMES_THEM.search(source):
        return True
    numbers = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return any(isinstance(number, float) and math.isinf(number) for number in numbers)
