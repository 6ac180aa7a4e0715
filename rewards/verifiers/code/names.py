"""Which names a piece of trusted Python source needs, and which it defines. Nothing here runs it."""

from __future__ import annotations

import ast
import builtins
import importlib
import symtable
import sys

BUILTINS = frozenset(dir(builtins))
# Modules whose names are known where all of them are imported, `from typing import *`.
_STARRED = frozenset(
    """bisect collections copy dataclasses datetime decimal enum fractions functools heapq itertools math operator
    random re statistics string typing""".split()  # noqa: SIM905
)


def free_names(source: str) -> set[str]:
    """Names that the source reads from its surroundings, in whatever scope; built-in ones too."""
    top = symtable.symtable(source, "<test>", "exec")
    waiting, free = [top], set()
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                free.add(symbol.get_name())
    return free - bound_names(source)


def bound_names(source: str) -> set[str]:
    """Names that the source defines at its top level: by import, def, class or assignment."""
    symbols = symtable.symtable(source, "<test>", "exec").get_symbols()
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and node.module in _STARRED:
            module = importlib.import_module(node.module)
            bound |= set(getattr(module, "__all__", [name for name in dir(module) if not name.startswith("_")]))
    return bound


def needed_at_once(source: str) -> set[str]:
    """Free names that are read when the source runs, and not only when a function that it defines is called."""
    return free_names(ast.unparse(_WithoutBodies().visit(ast.parse(source))))


def modules_of(source: str) -> set[str]:
    """Modules of the standard library that are used without an import, as in `math.isclose(…)`."""
    attributes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    bases = {node.value.id for node in attributes if isinstance(node.value, ast.Name)}
    return bases & free_names(source) & sys.stdlib_module_names


def slice_of(source: str, names: set[str], foreign: set[str]) -> str:
    """The statements that have to do with the names, directly or by others; `foreign` names connect none."""
    statements = [(statement, _mentioned(statement) - foreign - BUILTINS) for statement in ast.parse(source).body]
    wanted, before = set(names), -1
    while before != len(wanted):
        before = len(wanted)
        for _, mentioned in statements:
            wanted |= mentioned if mentioned & wanted else set()
    return "\n".join(ast.unparse(statement) for statement, mentioned in statements if mentioned & wanted)


def _mentioned(statement: ast.stmt) -> set[str]:
    source = ast.unparse(statement)
    return free_names(source) | bound_names(source)


class _WithoutBodies(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = [ast.Pass()]
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = [ast.Pass()]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.generic_visit(node)
        node.body = ast.Constant(None)
        return node
