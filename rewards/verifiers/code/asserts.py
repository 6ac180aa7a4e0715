"""Assertions as tests. `assert f(1) == 2` is split at its syntax tree: only `f(1)` goes to where the candidate runs.

What cannot be split (`assert math.isclose(f(2), 0.5)`, several statements) runs in a sandbox of its own, the tester's,
where `f` is a stand-in: its calls are sent to the candidate, as messages of plain values, and their results come back
the same way. The two never share a process, so the candidate can neither read an expectation nor touch a comparison.

Hence it must be known which name is the candidate's. A helper that nothing defines would be taken for one, and in
`is_close(f(3), 738)` its arguments hold what is expected: such a test is refused when it is read.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from reprise.rewards.verifiers.code.names import BUILTINS, bound_names, free_names, modules_of, needed_at_once, slice_of


class Relation(StrEnum):
    """What the value of a split assertion must be."""

    EQUAL = "equal"  # to `expected`
    SAME = "same"  # `expected`, which is None, True or False: `is`


@dataclass(frozen=True, slots=True)
class Assertion:
    """One entry of `asserts`.

    source      as the data set has it
    expression  the call that goes to the candidate; empty if the assertion cannot be split
    then        built-in functions that are called with its value before that leaves: `bool` if only its truth is asked
    relation, expected  what its value must be
    stand_ins   of an assertion that cannot be split: the names that the candidate defines
    setup       trusted source that runs before it: in the tester, or of a split one where the candidate runs, because
                it needs what the candidate defines
    candidate   the function that the name `candidate` stands for, if the data set says so
    """

    source: str
    expression: str = ""
    then: tuple[str, ...] = ()
    relation: Relation = Relation.EQUAL
    expected: object = None
    stand_ins: tuple[str, ...] = ()
    setup: str = ""
    candidate: str = ""


# Of a call's value these may be asked where it was made: whatever they give, a plain value could have given as well.
_ASKED_THERE = frozenset(
    {"bool", "bytes", "dict", "float", "frozenset", "int", "len", "list", "repr", "set", "sorted", "str", "tuple"}
)
# With these a text that the candidate returned would run beside what is expected.
_RUNS_TEXT = frozenset({"eval", "exec"})
_RUNS_TEXT_BY_NAME = _RUNS_TEXT | {"compile", "pickle", "marshal", "dill", "cloudpickle", "parse_expr", "sympify"}


@lru_cache(maxsize=2048)  # a task is checked with each of its answers, and its tests are read for each
def read_assertion(source: str, setup: str = "", candidate: str = "") -> Assertion:
    """Parse one entry, splitting it if that is possible. SyntaxError or ValueError if it is no test."""
    source = source.strip()
    body = ast.parse(source).body
    if not any(isinstance(node, ast.Assert) for statement in body for node in ast.walk(statement)):
        raise ValueError("it asserts nothing")
    modules = modules_of(source) | modules_of(setup)
    defined = bound_names(setup) - {candidate}
    needs = needed_at_once(setup) - defined - modules - BUILTINS
    if len(body) == 1 and isinstance(body[0], ast.Assert):
        reader = _Reader(candidate, modules if needs else modules | defined, defined | needs if needs else set())
        split = _split(body[0].test, reader)
        if split is not None:
            inside = slice_of(setup, free_names(split.expression), needs) if needs else ""
            return replace(split, source=source, setup=inside)
    if needs:
        raise ValueError(
            f"`setup` needs {_listed(needs)}, which only the program has, so that it can run only there: compare one "
            "call with one literal, as in assert f(x) == 2"
        )
    stand_ins = _stand_ins(body, setup, candidate, defined | modules)
    _refuse_what_runs_text(f"{setup}\n{source}")
    imports = "".join(f"import {name}\n" for name in sorted(modules - defined))
    return Assertion(source, stand_ins=tuple(sorted(stand_ins)), setup=f"{imports}{setup}\n", candidate=candidate)


# --- splitting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """Finds the call that goes to the candidate.

    candidate  the function's name, if the data set says it
    elsewhere  names that are not there where the candidate runs
    beside     names of the setup, if it runs there
    """

    candidate: str
    elsewhere: set[str]
    beside: set[str]

    def call(self, node: ast.expr) -> tuple[str, tuple[str, ...]] | None:
        """The source of a plain call of what the candidate defines, and what is asked of its value; else None.

        ValueError if it is not clear which of its names is the candidate's.
        """
        then: list[str] = []
        while (asked := self._asked_there(node)) is not None:
            then.insert(0, asked[0])
            node = asked[1]
        if not isinstance(node, ast.Call):
            return None
        name = self._called(node.func)
        if self.candidate and name == "candidate":
            name = self.candidate
            node = ast.Call(ast.Name(name, ast.Load()), node.args, node.keywords)
        if not name or (self.candidate and name not in (self.candidate, "Solution")):
            return None
        if name in self.elsewhere or (name in BUILTINS and name != self.candidate):
            return None
        expression = ast.unparse(node)
        others = free_names(expression) - {name} - BUILTINS
        if others & self.elsewhere:
            return None
        if others - self.beside and not self.candidate:
            raise ValueError(_ambiguous(others - self.beside | {name}))
        return expression, tuple(then)

    def _called(self, function: ast.expr) -> str:
        if isinstance(function, ast.Name):
            return function.id
        of_solution = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "Solution()"
        return "Solution" if of_solution else ""  # LeetCode's form, Solution().f(…)

    def _asked_there(self, node: ast.expr) -> tuple[str, ast.expr] | None:
        """(name, argument) if it is a call such as `list(…)` of one of the built-in functions above."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
            return None
        name = node.func.id
        if name not in _ASKED_THERE or name in self.elsewhere | {self.candidate} or len(node.args) != 1:
            return None
        return None if isinstance(node.args[0], ast.Starred) else (name, node.args[0])


def _split(test: ast.expr, reader: _Reader) -> Assertion | None:
    """All of it but source and setup."""
    if isinstance(test, ast.Compare):
        if len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq | ast.Is):
            return None
        left, right = test.left, test.comparators[0]
        for one, other in ((left, right), (right, left)):
            try:
                expected = ast.literal_eval(other)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(test.ops[0], ast.Is) and not (expected is None or isinstance(expected, bool)):
                continue
            if (call := reader.call(one)) is not None:
                relation = Relation.EQUAL if isinstance(test.ops[0], ast.Eq) else Relation.SAME
                return Assertion("", *call, relation, expected)
        return None
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    call = reader.call(test.operand if negated else test)  # type: ignore[attr-defined]
    return Assertion("", call[0], (*call[1], "bool"), Relation.SAME, not negated) if call else None


# --- the tester's -----------------------------------------------------------------------------------------------------


def _stand_ins(body: list[ast.stmt], setup: str, candidate: str, known: set[str]) -> set[str]:
    """What the candidate defines. ValueError if it is nothing, or cannot be distinguished from missing helpers."""
    by_setup = free_names(setup)
    found: set[str] = set()
    for part in _parts(body):
        unknown = {name for name in free_names(part) | by_setup if name not in known | BUILTINS or name == candidate}
        own = {candidate, "candidate"} if candidate else unknown
        if unknown - own:
            raise ValueError(
                f"nothing defines {_listed(unknown - own)}, which is not the task's `function` {candidate!r}: shown to "
                "the program, its arguments could reveal what is expected. Define it in `setup`"
            )
        if not candidate and len(unknown) > 1:
            raise ValueError(_ambiguous(unknown))
        found |= unknown
    if not found:
        raise ValueError("it calls nothing that a candidate could define")
    return found


def _parts(body: list[ast.stmt]) -> list[str]:
    """The sources of what is asserted each by itself; one, of everything, where values may pass from one to another."""
    waiting: list[ast.expr] = []
    for statement in body:
        if not isinstance(statement, ast.Assert) or any(isinstance(n, ast.NamedExpr) for n in ast.walk(statement)):
            return [ast.unparse(ast.Module(body, []))]
        waiting.append(statement.test)
    parts: list[str] = []
    while waiting:
        test = waiting.pop()
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            waiting += test.values
        else:
            parts.append(ast.unparse(test))
    return parts


def _refuse_what_runs_text(source: str) -> None:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in _RUNS_TEXT:
            found = node.attr
        elif isinstance(node, ast.Name) and node.id in _RUNS_TEXT_BY_NAME:
            found = node.id
        else:
            continue
        raise ValueError(f"with {found!r} a text that the program returned would run beside what is expected")


def _ambiguous(names: set[str]) -> str:
    return (
        f"nothing defines {_listed(names)}: which of them is the program's? Name it in `function`, and define the "
        "others in `setup`"
    )


def _listed(names: set[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
