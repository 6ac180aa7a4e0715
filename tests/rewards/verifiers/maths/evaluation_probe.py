"""Runs in a maths worker: asks sympy, in each way it offers, to evaluate text."""

import sympy
from latex2sympy2_extended import latex2sympy2

import reprise.rewards.verifiers.maths.worker  # noqa: F401 - takes evaluation away

WAYS = {
    "sympify": lambda: sympy.sympify("__import__('os').getpid()"),
    "parse_expr": lambda: sympy.parse_expr("1 + 1"),
    "lambdify": lambda: sympy.lambdify([], sympy.Symbol("__import__('os').getpid()"))(),
    "number": lambda: latex2sympy2.convert_number("__import__('os')"),
}


def handle(way: str | None) -> str | None:
    if way is None:
        return None
    try:
        return f"evaluated to {WAYS[way]()!r}"
    except (RuntimeError, ValueError, sympy.SympifyError):
        return "refused"
