"""The import rules (docs/architecture.md), read from the syntax tree of every module: nothing is imported here.

Modules are named without the `reprise.` that every import of them begins with.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAME = "reprise"

# What each package may import of the others (a module, or a package with all its modules).
ALLOWED: dict[str, tuple[str, ...]] = {
    "launch": ("actors", "rollout", "rewards", "sandbox", "buffer", "learner", "models", "data", "core"),
    "actors": ("rollout", "rewards", "sandbox", "buffer", "learner", "models", "data", "core"),
    "data": ("core", "models.chat"),
    "learner": ("core", "models"),
    "rollout": ("core", "rewards.base", "sandbox", "models.chat"),
    "rewards": ("core", "sandbox"),
    "buffer": ("core",),
    "models": ("core",),
    "sandbox": ("core",),
    "core": (),
}

# Where a heavy dependency may be imported; patterns of module names.
HOMES: dict[str, tuple[str, ...]] = {
    "ray": ("launch.*", "actors.*"),
    "deepspeed": ("learner.*",),
    "vllm": ("rollout.*", "learner.publishing.*", "models.*.vllm*"),
}

# Settings are read by the command line before anything heavy is needed.
HEAVY = ("torch", "ray", "vllm", "deepspeed", "transformers")

Modules = dict[str, str]  # name to source; a package's __init__ is "package.__init__"


def project() -> Modules:
    """Every module of every package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for package in ALLOWED
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def imports(module: str, nodes: Iterator[ast.AST], known: Modules) -> Iterator[tuple[int, str]]:
    """(line, module name) of the imports among `nodes`; `from a import b` is a.b if that is a module, else a.
    `importlib.import_module` of a literal counts."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, ours(alias.name)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ours(node.module or "")
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in known or f"{full}.__init__" in known else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, ours(str(arg.value))) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def ours(name: str) -> str:
    """`reprise.buffer.types` as `buffer.types`; what is not ours, and a bare `buffer.types`, so marked, stay apart."""
    if within(name, NAME):
        return name.removeprefix(NAME).removeprefix(".") or NAME
    return f"!{name}" if name.split(".")[0] in ALLOWED else name


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


def broken_imports(modules: Modules) -> list[str]:
    """The table of packages, and the homes of heavy dependencies. Imports inside functions count like all others."""
    broken = []
    for module, source in modules.items():
        package = module.split(".")[0]
        for line, target in imports(module, ast.walk(ast.parse(source)), modules):
            top, allowed = target.split(".")[0], ALLOWED[package]
            if top.startswith("!"):
                broken.append(f"{module}:{line} imports {target[1:]}: write {NAME}.{target[1:]}")
            if top in ALLOWED and top != package and not any(within(target, each) for each in allowed):
                broken.append(f"{module}:{line} imports {target}: {package} may import {allowed or 'no other package'}")
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


def broken_reading(modules: Modules) -> list[str]:
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


def test_every_import_follows_the_table_of_packages() -> None:
    assert broken_imports(project()) == []


def test_settings_import_nothing_heavy() -> None:
    assert heavy_settings(project()) == []


def test_only_launch_reads_the_environment_and_the_command_line() -> None:
    assert broken_reading(project()) == []


def test_the_table_names_every_package_and_has_no_circle() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(ALLOWED)
    table = {package: {each.split(".")[0] for each in allowed} for package, allowed in ALLOWED.items()}
    TopologicalSorter(table).prepare()  # raises CycleError, which names the circle


def test_parts_of_launch_import_each_other_in_one_direction() -> None:
    """`recipe`, `placement` and `reporting` know no command and no script; folders make no circle."""
    modules = project()
    graph: dict[str, set[str]] = {}
    for module, source in modules.items():
        if within(module, "launch"):
            targets = {target for _, target in imports(module, ast.walk(ast.parse(source)), modules)}
            folder = part_of_launch(module)
            graph.setdefault(folder, set()).update(
                part_of_launch(target) for target in targets if within(target, "launch")
            )
            graph[folder].discard(folder)
    for name in ("recipe", "placement", "reporting"):
        assert not graph[name] & {"training", "evaluation", "verify", "planner", "cli"}, name
    TopologicalSorter(graph).prepare()


def part_of_launch(module: str) -> str:
    """The folder below launch/ that holds the module; its own name if it lies directly there."""
    return module.split(".")[1] if "." in module else "launch"


def test_modules_do_not_import_each_other_in_a_circle() -> None:
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
        ("core.bad", "from reprise.rewards.base import Verifier", "core may import no other package"),
        ("rollout.bad", "from reprise.buffer.trajectory_buffer import Batch", "rollout may import"),
        ("rollout.bad", "from reprise.buffer import trajectory_buffer", "imports buffer.trajectory_buffer"),
        ("learner.bad", "from ..rollout import admission", "imports rollout.admission"),
        ("actors.bad", "import reprise.launch.cli", "actors may import"),
        ("launch.bad", "import tests.small_groups", "nothing imports tests"),
        ("launch.bad", "from buffer.reuse import ReusePool", "imports buffer.reuse: write reprise.buffer.reuse"),
    ],
)
def test_a_planted_import_is_seen(module: str, source: str, message: str) -> None:
    modules = {"buffer.trajectory_buffer": "", "rollout.admission": "", module: source}
    [broken] = broken_imports(modules)
    assert message in broken


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("learner.publishing.sender", "import vllm"),
        ("models.motif.vllm_motif", "from vllm import LLM"),
        ("actors.rollout", "import ray\nfrom reprise.rollout.admission import Admission"),
        ("rollout.good", "from reprise.core.types import Group\nfrom reprise.rewards.base import Verifier"),
        ("buffer.good", "from reprise.buffer.reuse import ReusePool\nfrom . import types"),
    ],
)
def test_an_import_that_keeps_to_the_rules_passes(module: str, source: str) -> None:
    assert broken_imports({"core.types": "", module: source}) == []


def test_heavy_settings_are_seen_directly_and_through_what_they_import() -> None:
    assert heavy_settings({"learner.settings": "import torch"})
    assert heavy_settings(
        {"learner.settings": "from reprise.learner.other import x", "learner.other": "import torch.nn"}
    )
    assert heavy_settings({"learner.__init__": "import torch", "learner.settings": ""})
    assert heavy_settings({"a.__init__": "import ray", "a.b": "", "learner.settings": "import reprise.a.b"})
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
    assert len(broken_reading({"rollout.bad": source})) == 1


def test_telling_a_library_through_the_environment_is_not_reading_it() -> None:
    source = "import os\nos.environ['X'] = '1'\nos.environ.setdefault('Y', '2')\ndel os.environ['X']"
    assert broken_reading({"rollout.good": source}) == []
