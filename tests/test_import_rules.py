"""The laws of the house (docs/architecture.md), read from the syntax tree of every module: nothing is imported here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What every room may know of the buffer room: the types that cross walls, errors a person can act on, plug-ins.
TYPES = ("buffer.types", "buffer.errors")
SHARED = (*TYPES, "buffer.plugins", "buffer.printable", "buffer.files")

# The table: what each room may import of the others (a module, or a room with all its modules).
ALLOWED: dict[str, tuple[str, ...]] = {
    "launch": ("actors", "rollout", "rewards", "buffer", "learner", "models", "data"),
    "actors": ("rollout", "rewards", "buffer", "learner", "models", "data"),
    "rollout": (*SHARED, "rewards.base"),
    "rewards": SHARED,
    "buffer": (),
    "learner": (*SHARED, "models"),
    # Nothing but how to name a missing folder or a wrong dotted path to the person who wrote it.
    "models": ("buffer.errors", "buffer.plugins", "buffer.files"),
    "data": (*SHARED, "rewards"),
}

# Where a heavy dependency may be imported; patterns of module names.
HOMES: dict[str, tuple[str, ...]] = {
    "ray": ("launch.*", "actors.*"),
    "deepspeed": ("learner.*",),
    "vllm": ("rollout.*", "learner.publishing.*", "models.*.vllm*"),
}

# Settings are read by the command line before anything heavy is needed.
HEAVY = ("torch", "ray", "vllm", "deepspeed", "transformers")

Modules = dict[str, str]  # name to source; a package's __init__ is "room.__init__"


def project() -> Modules:
    """Every module of every room."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for room in ALLOWED
        for path in sorted((ROOT / room).rglob("*.py"))
    }


def imports(module: str, nodes: Iterator[ast.AST], known: Modules) -> Iterator[tuple[int, str]]:
    """(line, module name) of the imports among `nodes`; `from a import b` is a.b if that is a module, else a.
    `importlib.import_module` of a literal counts."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in known or f"{full}.__init__" in known else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not in functions, not under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def broken_import_laws(modules: Modules) -> list[str]:
    """The table of rooms, and the homes of heavy dependencies. Imports inside functions count like all others."""
    broken = []
    for module, source in modules.items():
        room = module.split(".")[0]
        for line, target in imports(module, ast.walk(ast.parse(source)), modules):
            top = target.split(".")[0]
            if top in ALLOWED and top != room and not any(within(target, each) for each in ALLOWED[room]):
                broken.append(f"{module}:{line} imports {target}: {room} may import {ALLOWED[room] or 'no other room'}")
            if top in HOMES and not any(fnmatchcase(module, home) for home in HOMES[top]):
                broken.append(f"{module}:{line} imports {target}: {top} lives only in {HOMES[top]}")
            if top in ("tests", "bench"):
                broken.append(f"{module}:{line} imports {target}: nothing imports tests or benchmarks")
    return broken


def heavy_settings(modules: Modules) -> list[str]:
    """The settings modules that, through whatever they import, bring in something heavy."""
    broken = []
    for settings in (name for name in modules if name.endswith(".settings")):
        waiting, seen = [settings], {settings}
        while waiting:
            module = waiting.pop()
            for line, target in imports(module, at_import(ast.parse(modules[module])), modules):
                if target.split(".")[0] in HEAVY:
                    broken.append(f"{settings} brings in {target}, at {module}:{line}")
                new = {n for n in (target, *packages(target)) if n in modules} - seen
                seen |= new
                waiting += new
            for package in packages(module):
                if package in modules and package not in seen:
                    seen.add(package)
                    waiting.append(package)
    return broken


def packages(module: str) -> list[str]:
    """The __init__ modules that run when `module` is imported."""
    parts = module.split(".")
    return [".".join([*parts[:n], "__init__"]) for n in range(1, len(parts) + 1)]


def broken_reading_laws(modules: Modules) -> list[str]:
    """Only launch/ reads the environment or the command line."""
    broken = []
    for module, source in modules.items():
        tree = ast.parse(source)
        written = {id(n) for node in ast.walk(tree) for n in environment_writes(node)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or within(module, "launch"):
                continue
            text = ast.unparse(node)
            if text in ("os.environ", "os.getenv", "sys.argv") and id(node) not in written:
                broken.append(f"{module}:{node.lineno} reads {text}: a recipe key, or launch/, has to hand it over")
        for line, target in imports(module, ast.walk(tree), modules):
            if target == "argparse" and not within(module, "launch"):
                broken.append(f"{module}:{line} imports argparse: the command line is launch/'s")
    return broken


def environment_writes(node: ast.AST) -> list[ast.AST]:
    """The `os.environ` in os.environ[...] = x, del os.environ[...] and os.environ.setdefault(...): telling a library
    something is not reading."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return [node.value]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        if isinstance(function, ast.Attribute) and function.attr in ("setdefault", "update"):
            return [function.value]
    return []


def test_every_import_obeys_the_table_of_rooms() -> None:
    assert broken_import_laws(project()) == []


def test_settings_import_nothing_heavy() -> None:
    assert heavy_settings(project()) == []


def test_only_launch_reads_the_environment_and_the_command_line() -> None:
    assert broken_reading_laws(project()) == []


def test_the_table_names_every_room_and_has_no_circle() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(ALLOWED)
    table = {room: {each.split(".")[0] for each in allowed} for room, allowed in ALLOWED.items()}
    TopologicalSorter(table).prepare()  # raises CycleError, which names the circle


def test_modules_of_a_room_do_not_import_each_other_in_a_circle() -> None:
    modules = project()
    graph = {
        module: {target for _, target in imports(module, at_import(ast.parse(source)), modules) if target in modules}
        for module, source in modules.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("buffer.bad", "import ray", "ray lives only in"),
        ("rollout.bad", "def f():\n    from ray.util import queue", "rollout.bad:2 imports ray.util"),
        ("rollout.bad", "import importlib\nimportlib.import_module('ray')", "rollout.bad:2 imports ray"),
        ("learner.bad", "import vllm", "vllm lives only in"),
        ("models.motif.train", "import vllm", "vllm lives only in"),
        ("rollout.bad", "import deepspeed.comm", "deepspeed lives only in"),
        ("buffer.bad", "from reprise.rewards.base import Verifier", "buffer may import no other room"),
        ("rollout.bad", "from reprise.buffer.trajectory_buffer import Batch", "rollout may import"),
        ("rollout.bad", "from reprise.buffer import trajectory_buffer", "imports buffer.trajectory_buffer"),
        ("learner.bad", "from ..rollout import admission", "imports rollout.admission"),
        ("actors.bad", "import reprise.launch.cli", "actors may import"),
        ("launch.bad", "import tests.small_groups", "nothing imports tests"),
    ],
)
def test_a_planted_import_is_seen(module: str, source: str, message: str) -> None:
    modules = {"buffer.trajectory_buffer": "", "rollout.admission": "", module: source}
    broken = broken_import_laws(modules)
    assert len(broken) == 1
    assert message in broken[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("learner.publishing.sender", "import vllm"),
        ("models.motif.vllm_motif", "from vllm import LLM"),
        ("actors.rollout", "import ray\nfrom rollout.admission import Admission"),
        ("rollout.good", "from reprise.core.types import Group\nfrom rewards.base import Verifier"),
        ("buffer.good", "from reprise.buffer.reuse import ReusePool\nfrom . import types"),
    ],
)
def test_a_lawful_import_passes(module: str, source: str) -> None:
    assert broken_import_laws({"buffer.types": "", module: source}) == []


def test_heavy_settings_are_seen_directly_and_through_what_they_import() -> None:
    assert heavy_settings({"learner.settings": "import torch"})
    assert heavy_settings({"learner.settings": "from learner.other import x", "learner.other": "import torch.nn"})
    assert heavy_settings({"learner.__init__": "import torch", "learner.settings": ""})
    assert heavy_settings({"a.__init__": "import ray", "a.b": "", "learner.settings": "import a.b"})
    later = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch"
    assert heavy_settings({"learner.settings": later}) == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ.get('X')",
        "import os\nx = os.environ['X']",
        "import os\nos.getenv('X')",
        "import sys\nsys.argv",
        "import argparse",
    ],
)
def test_planted_reading_is_seen(source: str) -> None:
    assert len(broken_reading_laws({"rollout.bad": source})) == 1


def test_telling_a_library_through_the_environment_is_not_reading_it() -> None:
    source = "import os\nos.environ['X'] = '1'\nos.environ.setdefault('Y', '2')\ndel os.environ['X']"
    assert broken_reading_laws({"rollout.good": source}) == []
