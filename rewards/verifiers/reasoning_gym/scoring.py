"""The program that runs in the sandbox: one of reasoning-gym's scorers, and a guard between it and the model's text.

Several scorers hand the answer to `eval` or to sympy's `parse_expr`, which ends in `eval`. The sandbox keeps such text
from doing harm outside; but the reference is in this process, so text that ran could write its own score. Therefore
every module of reasoning-gym, and sympy's parser, see an `eval` that first reads the syntax tree: numbers, arithmetic,
and for sympy the names and functions of school mathematics. Anything else is refused and scores 0.

Only the standard library, sympy and reasoning_gym are imported: the sandbox has no module of reprise.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import operator
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any, NoReturn, Protocol, TypedDict

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


_FRACTIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip

# Data sets whose right answer is exact, but whose scorers pay for one that has something in common with it, which a
# constant, a half-right guess or the question itself may have; and what counts as right.
_ALL_OR_NOTHING = dict.fromkeys(
    """calendar_arithmetic figlet_font futoshiki game_of_life knights_knaves mini_sudoku
    prime_factorization rectangle_count sentence_reordering spell_backward sudoku time_intervals word_ladder
    word_sorting""".split(),  # noqa: SIM905
    1.0,
)
_ALL_OR_NOTHING |= {"polynomial_equations": 0.99, "complex_arithmetic": 0.99}  # their answers are rounded


class Refused(Exception):
    """The text is more than an expression; it was not run."""


class Entry(TypedDict):
    """A problem of a data set."""

    question: str
    answer: str
    metadata: dict[str, Any]


class Scorer(Protocol):
    """What reasoning-gym's data sets have in common."""

    def score_answer(self, answer: str, entry: Entry) -> float: ...


def score(dataset: str, config: dict[str, object], answer: str, entry: Entry) -> dict[str, object]:
    """`{"score": float, "refused": why}`: the scorer's score of the answer to the entry; 0 if the guard refused it.

    config  of the data set, where its scorer depends on it
    """
    refusals: list[str] = []
    install_guard(refusals)
    try:
        value = scored(dataset, scorer(dataset, config), answer, entry)
    except Refused as refused:
        return {"score": 0.0, "refused": str(refused)}
    return {"score": 0.0 if refusals else value, "refused": refusals[0] if refusals else ""}


def scorer(dataset: str, config: dict[str, object]) -> Scorer:
    made, configuration = importlib.import_module("reasoning_gym.factory").DATASETS[dataset]
    found: Scorer = made(config=configuration(**config))
    return found


def scored(dataset: str, made: Scorer, answer: str, entry: Entry) -> float:
    """The score by `made`'s own scorer, or by ours where that one pays for wrong answers. Raises Refused."""
    plain = _PLAIN.get(dataset)
    if plain is not None and not plain.fullmatch(answer):
        raise Refused(f"not of the form {plain.pattern}")
    if dataset == "puzzle24":
        return float(makes_24(answer, entry["metadata"]["numbers"]))
    if (
        dataset == "polynomial_equations" and not entry["answer"]
    ):  # without real solutions, anything unreadable is right
        return float(answer in ("", '""'))
    value = float(made.score_answer(answer, entry))
    return float(value >= _ALL_OR_NOTHING[dataset]) if dataset in _ALL_OR_NOTHING else value


def makes_24(answer: str, numbers: list[int]) -> bool:
    """Whether the expression uses each of the numbers once and nothing else, and is exactly 24."""
    used: list[int] = []

    def value(node: ast.AST) -> Fraction:
        match node:
            case ast.Constant(value=number) if type(number) is int:
                used.append(number)
                return Fraction(number)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -value(inner)
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return value(inner)
            case ast.BinOp(left=left, op=op, right=right):
                return _FRACTIONS[type(op)](value(left), value(right))
        raise ValueError(f"{type(node).__name__} in a puzzle")

    try:
        return value(ast.parse(answer.strip(), mode="eval").body) == 24 and sorted(used) == sorted(numbers)
    except (SyntaxError, ValueError, KeyError, ZeroDivisionError, RecursionError, MemoryError):
        return False


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


def _guarded(check: Callable[[ast.AST, frozenset[str]], None], refusals: list[str]) -> Callable[..., object]:
    def guarded_eval(
        source: object, global_names: dict[str, object] | None = None, local_names: dict[str, object] | None = None
    ) -> object:
        try:
            if not isinstance(source, str):
                raise Refused("not text")
            tree = ast.parse(source.strip(), mode="eval")
            check(tree, frozenset(local_names or ()))
        except (SyntaxError, ValueError, Refused, RecursionError, MemoryError) as error:
            refusals.append(f"{type(error).__name__}: {str(error)[:100]}")
            raise ValueError("refused") from error
        names: dict[str, object] = {"__builtins__": {}} if global_names is None else global_names
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


def _refuse(*_: object, **__: object) -> NoReturn:
    raise ValueError("refused")
