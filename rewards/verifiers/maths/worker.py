r"""What a maths worker process does: does the answer equal one of the references? Only `rewards.workers` runs this.

Nothing of sympy or the LaTeX parser may evaluate text as Python: numbers are built without `eval` (`expressions`), and
the `eval` and `exec` of sympy's expression parser and of its `lambdify` (which prints symbol names, that is model text,
into Python source) are taken away. math-verify's alarms are not used: they work neither in threads nor in C code, and
the parent keeps the deadline.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import NoReturn

from latex2sympy2_extended import latex2sympy2
from sympy.core.random import seed

from reprise.rewards.verifiers.maths.comparing import Comparison
from reprise.rewards.verifiers.maths.expressions import UnreadableReference, literal
from reprise.rewards.verifiers.maths.forms import Form
from reprise.rewards.verifiers.maths.latex import Unreadable
from reprise.rewards.verifiers.maths.reading import read
from reprise.rewards.verifiers.maths.rules import Found, Request, rules_from
from reprise.rewards.verifiers.maths.values import SympyArithmetic
from reprise.rewards.verifiers.maths.verifiable import fault, fault_of
from reprise.rewards.workers.requests import unpack


def handle(packed: str) -> Found:
    """A packed `Request` -> is the answer right?"""
    request: Request = unpack(packed)
    seed(0)  # sympy looks at expressions at random points: the same answer is to get the same verdict
    comparison = Comparison(rules_from(request["rules"]), SympyArithmetic())
    theirs = _readings(request["answer"])
    reference_read = answer_read = False
    for reference in request["references"]:
        for ours in _readings(reference, reference=True):
            for form in theirs:
                try:
                    if comparison.same(ours, form):
                        return {"reference_read": True, "answer_read": True, "right": True}
                    reference_read = answer_read = True
                except MemoryError:
                    raise
                except UnreadableReference:  # the reference by itself will show whose fault this is
                    reference_read |= fault(ours, comparison.arithmetic) is None
                except Unreadable:
                    reference_read = True
                except Exception:  # noqa: BLE001 - sympy may raise anything on what it was never meant to compare
                    reference_read = answer_read = True
    return {"reference_read": reference_read, "answer_read": answer_read, "right": False}


def examine(request: dict[str, list[str]]) -> dict[str, list[str]]:
    """`{"references": [str]}` -> `{"faults": [str]}`: for each why no answer can be verified against it, or ""."""
    seed(0)
    return {"faults": [_fault(reference) for reference in request["references"]]}


def _fault(reference: str) -> str:
    try:
        return fault_of(reference, SympyArithmetic()) or ""
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, answers would meet it, too
        return f"{type(error).__name__}: {str(error)[:100]}"


def _readings(latex: str, reference: bool = False) -> Sequence[Form]:
    try:
        return read(latex, reference)
    except Unreadable:
        return []


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("evaluating text is not allowed in a worker")


def _take_away_evaluation() -> None:
    importlib.import_module("sympy.physics.units")  # `simplify` imports it; it evaluates (constant) names of units
    latex2sympy2.Number = literal
    for name in ("sympy.parsing.sympy_parser", "sympy.utilities.lambdify"):
        vars(importlib.import_module(name)).update(eval=_refuse, exec=_refuse)


_take_away_evaluation()
