"""What the documents say exists, exists: tables, links, files, names in modules, recipe keys, metrics, commands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from reprise.launch.cli import _parser
from reprise.launch.recipe.keys import field_at, model_at
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.metrics import RL_NAMES, SFT_NAMES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench" / "README.md"]
PACKAGES = (
    "actors",
    "bench",
    "buffer",
    "core",
    "data",
    "launch",
    "learner",
    "models",
    "recipes",
    "rewards",
    "rollout",
    "sandbox",
    "tests",
)
NAME = "reprise"  # under which the packages are imported
# What the reader of an example makes himself.
MADE = {
    "tests/launch/test_shown.py",
    "recipes/quick.yaml",
    "recipes/wrong.yaml",
}

THEIRS = {
    "model.py",
    "vllm/model_executor/models/motif.py",
    "vllm/v1/attention/backends/grouped_diff_attn.py",
    "vllm/model_executor/layers/layernorm.py",
}  # of other projects
EXAMPLES = {
    "vowels.py",
    "vowels.yaml",
    "reinforce.py",
    "test_reinforce.py",
    "shared_folder.py",
    "torch_engine.py",
    "my_rewards.py",
    "recipe.yaml",
}  # and what lies in the folder of a run

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def prose(document: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^(```|~~~).*?^\1[ ]*$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def quoted(document: Path) -> list[str]:
    """What stands in backticks."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(document))]


def blocks(document: Path) -> list[str]:
    """Its blocks of code."""
    return [m[2] for m in re.finditer(r"^(```|~~~)\w*\n(.*?)^\1", document.read_text(), re.MULTILINE | re.DOTALL)]


@documents
def test_every_row_of_a_table_has_its_header_and_as_many_cells(document: Path) -> None:
    table: list[str] = []
    for number, line in enumerate([*prose(document).splitlines(), ""], 1):
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            assert len(table) > 2, f"line {number}: a row without a table: {table[0]}"
            assert re.fullmatch(r"\|([ ]?:?-+:?[ ]?\|)+", table[1]), f"line {number}: a table without a header: {table}"
            cells = [len(re.findall(r"(?<!\\)\|", row)) for row in table]
            wrong = [row for row, count in zip(table, cells, strict=True) if count != cells[0]]
            assert not wrong, wrong
        table = []


@documents
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    text = file.read_text()
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@documents
def test_files_that_are_named_are_there_and_define_what_is_said(document: Path) -> None:
    missing = []
    for code in quoted(document):
        path, _, name = code.partition(": ")
        if path.split("/")[0] not in PACKAGES or "/" not in path or not re.fullmatch(r"[\w./-]+", path) or path in MADE:
            continue
        if is_metric(path):
            continue
        file = ROOT / path
        if not file.exists() or (re.fullmatch(r"\w+(\.\w+)?", name) and name not in names(file)):
            missing.append(code)
    assert not missing


@documents
def test_files_that_are_named_without_their_folder_are_somewhere(document: Path) -> None:
    everywhere = [f"/{path}" for path in files()]
    for code in quoted(document):
        name = code.partition(":")[0]
        if re.fullmatch(r"[\w/]+\.(py|yaml|md|lock)", name) and name not in MADE | EXAMPLES | THEIRS:
            assert any(path.endswith(f"/{name}") for path in everywhere), code


@cache
def files() -> tuple[str, ...]:
    """Of the repository, without what a run or a set-up has left in it."""
    found = (path.relative_to(ROOT) for top in (*PACKAGES, "docs", "requirements") for path in (ROOT / top).rglob("*"))
    return tuple(str(path) for path in [*found, *(p.relative_to(ROOT) for p in ROOT.glob("*.*"))])


@documents
def test_dotted_paths_lead_to_a_module_and_what_it_defines(document: Path) -> None:
    wrong = [code for code in dotted_paths(document) if not resolves(code)]
    assert not wrong


@documents
def test_dotted_paths_of_plugins_begin_as_they_are_imported(document: Path) -> None:
    """`buffer.types` may name a module in a sentence; with an attribute it is written into recipes."""
    wrong = [
        code for code in dotted_paths(document) if ":" in code and code.split(".")[0] not in (NAME, "bench", "tests")
    ]
    assert not wrong


def dotted_paths(document: Path) -> Iterator[str]:
    for code in [*quoted(document), *re.findall(r"[\w.]+:\w+", "\n".join(blocks(document)))]:
        if not re.fullmatch(r"\w+(\.\w+)+(:\w+)?", code) or code.split(".")[0] not in (NAME, *PACKAGES):
            continue
        if not is_key(code) and not code.endswith((".py", ".md", ".yaml")):
            yield code


def resolves(code: str) -> bool:
    path, _, name = code.removeprefix(f"{NAME}.").partition(":")
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        for file in (ROOT.joinpath(*parts[:end]).with_suffix(".py"), ROOT.joinpath(*parts[:end], "__init__.py")):
            if file.is_file():
                rest = ".".join([*parts[end:], *([name] if name else [])])
                return not rest or rest in names(file)
    return ROOT.joinpath(*parts).is_dir() and not name


@cache
def names(file: Path) -> frozenset[str]:
    """What a module defines or imports, and what its classes do: `Class.method`."""
    if file.suffix != ".py":
        return frozenset()
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        for name in defined(node):
            found.add(name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in defined(inner)}
    return frozenset(found)


def defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return []


@documents
def test_keys_of_a_recipe_that_are_named_are_keys(document: Path) -> None:
    wrong = []
    for code in quoted(document):
        name = code.partition(":")[0].strip()
        sections = Recipe.model_fields.keys() | SftRecipe.model_fields.keys()
        is_path = re.fullmatch(r"\w+(\[\])?(\.[\w*<>]+(\[\])?)+", name) and name.split(".")[0].rstrip("[]") in sections
        if is_path and not is_key(name) and not resolves(name) and not name.endswith((".py", ".md", ".yaml")):
            wrong.append(code)
    assert not wrong


def is_key(name: str) -> bool:
    parts = name.replace("[]", ".0").replace("<name>", "x").split(".")
    keys = tuple(int(part) if part.isdecimal() else part for part in parts)
    at = (model_at(keys, kind) or field_at(keys, kind) for kind in (Recipe, SftRecipe))
    return any(found is not None for found in at) or parts[-1] == "*"


@documents
def test_metrics_that_are_named_are_reported(document: Path) -> None:
    groups = {name.partition("/")[0] for names in (RL_NAMES, SFT_NAMES) for name in names.core} | {"eval", "verify"}
    for code in quoted(document):
        if re.fullmatch(r"[a-z_]+/[a-z0-9_/<>]+", code) and code.split("/")[0] in groups - set(PACKAGES):
            assert is_metric(code), code


def is_metric(code: str) -> bool:
    return code in RL_NAMES or code in SFT_NAMES


@documents
def test_commands_that_are_shown_are_commands(document: Path) -> None:
    for line in "\n".join(blocks(document)).replace("\\\n", " ").splitlines():
        found = re.match(r"\s*(?:\$ )?(?:reprise|(?:\w+=\S+ )*python -m reprise) (?=[a-z])(.*)", line)
        if not found:
            continue
        command = re.split(r"\s{2,}|\s#|\s[|>]\s|(?<=--dry-run) (?=the)", found[1])[0]
        arguments = [word for word in shlex.split(command) if word != "…"]
        if arguments[0].isalpha() and "COMMAND" not in command:
            _parser().parse_args(arguments)
