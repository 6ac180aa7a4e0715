"""The program that runs in the sandbox: one of reasoning-gym's scorers, and a guard between it and the model's text.

Several scorers hand the answer to `eval` or to sympy's `parse_expr`, which ends in `eval`. The sandbox keeps such text
from doing harm outside; but the reference is in this process, so text that ran could write its own score. Therefore
every module of reasoning-gym, and sympy's parser, see an `eval` that first reads the syntax tree: numbers, arithmetic,
and for sympy the names and functions of school mathematics. Anything else is refused and scores 0.

Only the standard library, sympy and reasoning_gym are imported: nothing of the house exists in the sandbox.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

_ARITHMETIC: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.Load, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv,
    ast.Mod, ast.Pow, ast.UAdd, ast.USub,
)  # fmt: skip
_LITERAL: tuple[type[ast.AST], ...] = (
    *_ARITHMETIC, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift,
    ast.Invert,
)  # fmt: skip
_CONSTANTS = frozenset({"pi", "E", "I", "oo"})
_FUNCTIONS = frozenset(
    """Integer Float Rational Symbol factorial sqrt cbrt Abs sign exp log ln sin cos tan cot sec csc asin acos atan acot
    asec acsc sinh cosh tanh coth asinh acosh atanh erf""".split()  # noqa: SIM905
)
_TAKES_TEXT = frozenset({"Integer", "Float", "Rational", "Symbol"})

# The first two count the numbers that an answer uses with a pattern that does not see 0x10, 1_0 or 1e2; the third takes
# nan for right.
_PLAIN = {name: re.compile(r"(?:[0-9+\-() ]|(?<!\*)\*|(?<!/)/)*", re.ASCII) for name in ("countdown", "puzzle24")}
_PLAIN["complex_arithmetic"] = re.compile(r"[0-9ijIJeE+\-.() ]*", re.ASCII)


class Refused(Exception):
    """The text is more than an expression; it was not run."""


def score(dataset: str, config: dict[str, Any], answer: str, entry: dict[str, Any]) -> dict[str, Any]:
    """`{"score": float, "refused": why}`: the scorer's score of the answer to the entry; 0 if the guard refused it.

    config  of the data set, where its scorer depends on it
    """
    factory = importlib.import_module("reasoning_gym.factory")
    refusals: list[str] = []
    install_guard(refusals)
    plain = _PLAIN.get(dataset)
    if plain is not None and not plain.fullmatch(answer):
        return {"score": 0.0, "refused": f"not of the form {plain.pattern}"}
    made, configuration = factory.DATASETS[dataset]
    value = float(made(config=configuration(**config)).score_answer(answer, entry))
    return {"score": 0.0 if refusals else value, "refused": refusals[0] if refusals else ""}


def install_guard(refusals: list[str]) -> None:
    """Give reasoning-gym's modules and sympy's parser an `eval` that refuses; what was refused is added to the list."""
    parser = importlib.import_module("sympy.parsing.sympy_parser")
    vars(parser)["eval"] = _guarded(_check_sympy, refusals)
    lambdify = importlib.import_module("sympy.utilities.lambdify")  # prints symbols' names into Python source
    vars(lambdify).update(eval=_refuse, exec=_refuse, compile=_refuse)
    for module in _gym_modules():
        vars(module).update(eval=_guarded(_check_literal, refusals), exec=_refuse, compile=_refuse)


def _gym_modules() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "reasoning_gym"]


def _guarded(check: Callable[[ast.AST, frozenset[str]], None], refusals: list[str]) -> Callable[..., Any]:
    def guarded_eval(source: Any, global_names: Any = None, local_names: Any = None) -> Any:
        try:
            if not isinstance(source, str):
                raise Refused("not text")
            tree = ast.parse(source.strip(), mode="eval")
            check(tree, frozenset(local_names or ()))
        except (SyntaxError, ValueError, Refused, RecursionError, MemoryError) as error:
            refusals.append(f"{type(error).__name__}: {str(error)[:100]}")
            raise ValueError("refused") from error
        names = {"__builtins__": {}} if global_names is None else global_names
        return builtins.eval(compile(tree, "<answer>", "eval"), names, local_names)  # noqa: S307 - checked above

    return guarded_eval


def _check_literal(tree: ast.AST, _: frozenset[str]) -> None:
    """Lists, tuples, sets, dicts, strings, numbers and arithmetic with them."""
    for node in ast.walk(tree):
        if not isinstance(node, _LITERAL):
            raise Refused(f"{type(node).__name__} in a literal")


def _check_sympy(tree: ast.AST, local_names: frozenset[str]) -> None:
    """Arithmetic with numbers, known constants, the scorer's own variables and calls of known functions."""
    texts: set[int] = set()
    called: set[int] = set()
    for node in ast.walk(tree):  # parents come before their children
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS or node.keywords:
                raise Refused(f"a call of {ast.unparse(node.func)[:40]}")
            called.add(id(node.func))
            texts |= {id(argument) for argument in node.args if node.func.id in _TAKES_TEXT}
        elif isinstance(node, ast.Name):
            if id(node) not in called and node.id not in _CONSTANTS and node.id not in local_names:
                raise Refused(f"the name {node.id[:40]}")
        elif isinstance(node, ast.Constant):
            is_number = type(node.value) in (int, float, complex)
            if not is_number and not (isinstance(node.value, str) and id(node) in texts):
                raise Refused(f"a {type(node.value).__name__}")
        elif not isinstance(node, _ARITHMETIC):
            raise Refused(f"{type(node).__name__} in an expression")


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("refused")
