"""Runs an assertion that cannot be split: the tester in one job, each call of the candidate in another.

The tester is run from its beginning each time with the answers so far; where it needs one more, it ends and says which.
So no job waits for another, and every call has the limits of a test of its own. What the candidate does to its
arguments does not come back, and it keeps no state between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rewards.code.asserts import Assertion
from rewards.sandbox.base import Call, Ending, Job, JobResult

MAX_CALLS = 100  # of the candidate, in one assertion

# The tester's program. `answers` are pairs: [True, value], or [False, name of the exception, its message].
_TESTER = '''
import builtins, copy

class _CallNeeded(BaseException):
    pass

def _stand_in(name, state):
    def call(*args, **kwargs):
        number = state["next"]
        state["next"] += 1
        if number == len(state["answers"]):
            state["call"] = [name, list(args), kwargs]
            raise _CallNeeded
        returned, *rest = state["answers"][number]
        if returned:
            return copy.deepcopy(rest[0])
        kind = getattr(builtins, rest[0], None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            raise kind(rest[1])
        raise Exception(f"{rest[0]}: {rest[1]}")
    return call

def run(source, setup, names, candidate, answers):
    """["passed"], ["failed", why] or ["call", name, args, kwargs]."""
    state = {"next": 0, "answers": answers}
    scope = {"__name__": "__test__", "__builtins__": builtins}
    exec(compile(setup, "<setup>", "exec"), scope)
    for name in names:
        scope[name] = _stand_in(candidate if candidate and name == "candidate" else name, state)
    try:
        exec(compile(source, "<test>", "exec"), scope)
    except _CallNeeded:
        return ["call", *state["call"]]
    except Exception as error:
        return ["failed", f"{type(error).__name__}: {error}"[:300]]
    return ["passed"]
'''


@dataclass(frozen=True, slots=True)
class Tested:
    """passed, or not and why; `ended` is how the candidate's or the tester's job ended, if not well."""

    passed: bool
    explanation: str = ""
    ended: JobResult | None = None


def run_assertion(assertion: Assertion, candidate: Job, run: Callable[[Job], JobResult]) -> Tested:
    """Whether the program of `candidate`, a job without a call, passes.

    A tester that fails by itself gives an INFRA ending: it is the data set's fault.
    """
    answers: list[list[Any]] = []
    known: dict[str, list[Any]] = {}
    for _ in range(MAX_CALLS):
        args = (assertion.source, assertion.setup, list(assertion.stand_ins), assertion.candidate, answers)
        tester = run(Job(source=_TESTER, call=Call("run", args), limits=candidate.limits))
        if tester.ending is not Ending.OK:
            why = f"the test itself ended with {tester.ending}: {tester.explanation}"
            # With no answer of the candidate in it, it is the data set's; else a value may have made it hang.
            ending = tester.ending if answers else Ending.INFRA
            return Tested(False, why, JobResult(ending, explanation=why))
        outcome, *rest = tester.value
        if outcome != "call":
            return Tested(outcome == "passed", "".join(rest))
        name, call_args, kwargs = rest
        key = repr((name, call_args, kwargs))
        if key not in known:
            result = run(replace(candidate, call=Call(name, call_args, kwargs)))
            if result.ending is Ending.OK:
                known[key] = [True, result.value]
            elif result.ending is Ending.CRASH and result.raised:
                known[key] = [False, result.raised, result.explanation]
            else:
                return Tested(False, result.explanation, result)
        answers.append(known[key])
    why = f"calls the candidate more than {MAX_CALLS} times"
    return Tested(False, why, JobResult(Ending.INFRA, explanation=why))
