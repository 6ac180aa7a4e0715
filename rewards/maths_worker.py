r"""What a maths worker process does: does the answer equal one of the references? Only `rewards.workers` runs this.

How math-verify reads text, and what of it is used here (math-verify 0.9.0, latex2sympy2_extended 1.11.0, sympy 1.14.0):
- `ExprExtractionConfig` hands the matched text to sympy's `parse_expr`, which ends in Python's `eval`. It is not used.
- `LatexExtractionConfig` parses LaTeX with an ANTLR grammar and builds sympy objects node by node. No text is evaluated
  but number literals: `sympy.Number("12")` calls `sympify`, hence `eval`. Such a literal is a token of the grammar and
  so harmless, but here numbers are built without `eval`, which is also several times faster,
- and the `eval` and `exec` of sympy's expression parser and of its `lambdify` (which prints symbol names, that is model
  text, into Python source) are taken away. A comparison that wants them fails, which math-verify counts as not equal.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, NoReturn

import sympy
from latex2sympy2_extended import latex2sympy2
from math_verify import LatexExtractionConfig, parse, verify
from sympy.core.random import seed

_LATEX = [LatexExtractionConfig(boxed_match_priority=0)]
_INTEGER = re.compile(r"\d+", re.ASCII)
_DECIMAL = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def handle(request: dict[str, Any]) -> dict[str, bool]:
    """`{"references": [str], "answer": str}` -> whether each side could be read, and whether the answer is right."""
    seed(0)  # sympy compares expressions at random points: the same answer is to get the same verdict
    references = [parsed for reference in request["references"] if (parsed := _read(reference))]
    answer = _read(request["answer"])
    # math-verify's alarms are off: they work neither in threads nor in C code, and the parent keeps the deadline.
    right = any(verify(reference, answer, timeout_seconds=None) for reference in references)
    return {"reference_read": bool(references), "answer_read": bool(answer), "right": right}


def _read(latex: str) -> list[Any]:
    boxed = rf"\boxed{{{latex}}}"
    return parse(boxed, _LATEX, fallback_mode="no_fallback", extraction_mode="first_match", parsing_timeout=None)


def _number(text: str) -> sympy.Number:
    """A number literal of the LaTeX grammar, without `eval`. ValueError if it is something else."""
    if _INTEGER.fullmatch(text):
        return sympy.Integer(int(text))
    if _DECIMAL.fullmatch(text):
        return sympy.Float(text)
    raise ValueError(f"not a number: {text[:50]!r}")


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("evaluating text is not allowed in a worker")


def _take_away_evaluation() -> None:
    importlib.import_module("sympy.physics.units")  # `simplify` imports it; it evaluates (constant) names of units
    latex2sympy2._Latex2Sympy.parse_number = lambda self, text: _number(text.replace(",", ""))
    latex2sympy2.Number = _number
    for name in ("sympy.parsing.sympy_parser", "sympy.utilities.lambdify"):
        vars(importlib.import_module(name)).update(eval=_refuse, exec=_refuse)


_take_away_evaluation()
