"""Assertions as tests. `assert f(1) == 2` is split at its syntax tree: only `f(1)` goes to where the candidate runs.

What cannot be split (`assert math.isclose(f(2), 0.5)`, several statements) runs in a sandbox of its own, the tester's,
where `f` is a stand-in: its calls are sent to the candidate, as messages of plain values, and their results come back
the same way. The two never share a process, so the candidate can neither read an expectation nor touch a comparison.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Relation(StrEnum):
    """What the value of a split assertion must be."""

    EQUAL = "equal"  # to `expected`
    SAME = "same"  # `expected`, which is None, True or False: `is`
    TRUE = "true"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Assertion:
    """One entry of `asserts`.

    source      as the data set has it
    expression  the call that goes to the candidate; empty if the assertion cannot be split
    relation, expected  what its value must be
    stand_ins   of an assertion that cannot be split: the names that the candidate defines
    setup       trusted source that runs before it, in the tester only
    candidate   the function that the name `candidate` stands for, if the data set says so
    """

    source: str
    expression: str = ""
    relation: Relation = Relation.TRUE
    expected: Any = None
    stand_ins: tuple[str, ...] = ()
    setup: str = ""
    candidate: str = ""


def read_assertion(source: str, setup: str = "", candidate: str = "") -> Assertion:
    """Parse one entry, splitting it if that is possible. SyntaxError or ValueError if it is no test."""
    source = source.strip()
    body = ast.parse(source).body
    defined = _bound(setup)
    if not any(isinstance(node, ast.Assert) for statement in body for node in ast.walk(statement)):
        raise ValueError("it asserts nothing")
    if len(body) == 1 and isinstance(body[0], ast.Assert):
        split = _split(body[0].test, candidate, defined)
        if split is not None:
            expression, relation, expected = split
            return Assertion(source, expression, relation, expected)
    modules = _modules(source) - defined
    stand_ins = _free_names(source) - defined - modules - set(dir(builtins))
    if not stand_ins:
        raise ValueError("it calls nothing that a candidate could define")
    imports = "".join(f"import {name}\n" for name in sorted(modules))
    return Assertion(source, stand_ins=tuple(sorted(stand_ins)), setup=f"{imports}{setup}\n", candidate=candidate)


def _split(test: ast.expr, candidate: str, known: set[str]) -> tuple[str, Relation, Any] | None:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        call = _call(test.operand, candidate, known)
        return (call, Relation.FALSE, None) if call else None
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right, operator = test.left, test.comparators[0], test.ops[0]
        for one, other in ((left, right), (right, left)):
            call = _call(one, candidate, known)
            if not call:
                continue
            try:
                expected = ast.literal_eval(other)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(operator, ast.Eq):
                return call, Relation.EQUAL, expected
            if isinstance(operator, ast.Is) and (expected is None or isinstance(expected, bool)):
                return call, Relation.SAME, expected
        return None
    call = _call(test, candidate, known)
    return (call, Relation.TRUE, None) if call else None


def _call(node: ast.expr, candidate: str, known: set[str]) -> str:
    """The source of a plain call of something the candidate defines; empty if it is anything else.

    `sorted(f(1))` is none: a candidate that replaces `sorted` would decide what is compared.
    """
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return ""
    name = node.func.id
    if hasattr(builtins, name) or name in known:
        return ""
    if any(isinstance(part, ast.Name) and part.id in known for part in ast.walk(node)):
        return ""  # an argument that the setup defines is not there where the candidate runs
    if candidate and name == "candidate":
        node = ast.Call(ast.Name(candidate, ast.Load()), node.args, node.keywords)
    return ast.unparse(node)


def _free_names(source: str) -> set[str]:
    """Names that the source reads from its surroundings, in whatever scope."""
    top = symtable.symtable(source, "<test>", "exec")
    waiting, free = [top], set()
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                free.add(symbol.get_name())
    return free - _bound(source)


def _bound(source: str) -> set[str]:
    """Names that the source defines at its top level: by import, def, class or assignment."""
    symbols = symtable.symtable(source, "<test>", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()}


def _modules(source: str) -> set[str]:
    """Modules of the standard library that are used without an import, as in `math.isclose(…)`."""
    attributes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    bases = {node.value.id for node in attributes if isinstance(node.value, ast.Name)}
    return bases & _free_names(source) & sys.stdlib_module_names
