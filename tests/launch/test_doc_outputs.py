"""What the documents show of commands is what these print, so that it cannot go stale.

What is the same everywhere is run again and compared; of whole runs the form is compared: names of rows and columns.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import nodes
from launch.cli import main

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes.md"
MACHINE = nodes.Node(cpus=2, gpus=0, memory=18 * 2**30)  # that of the documents


def blocks(document: Path) -> list[str]:
    return [m[1] for m in re.finditer(r"^```\w*\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)]


def shown(document: Path) -> Iterator[tuple[str, str]]:
    """Each command of a document with the output that is shown below it."""
    for block in blocks(document):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


COMMANDS = dict(shown(RECIPES))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recipes of the document, on its machine."""
    monkeypatch.setattr(nodes, "local_nodes", lambda: [MACHINE])
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    [wrong] = [block for block in blocks(RECIPES) if "clip_hihg" in block and "extends" in block]
    (tmp_path / "recipes" / "wrong.yaml").write_text(wrong)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_what_recipes_md_shows_is_printed(command: str, machine: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(max(map(len, COMMANDS[command].splitlines())) if "dry-run" in command else 120))
    main(shlex.split(command)[1:])
    printed = "".join(capsys.readouterr())
    assert follows(COMMANDS[command], printed), f"{command} prints\n{printed}"


def follows(pattern: str, text: str) -> bool:
    """Whether the text is as the pattern shows it, any lines in the place of `…`. Blanks at ends do not count."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    parts = [part.strip("\n").splitlines() for part in re.split(r"^…$", pattern.strip(), flags=re.MULTILINE)]
    place = 0
    for number, part in enumerate(parts):
        starts = range(place, len(lines) - len(part) + 1) if number else [0]
        found = next((s for s in starts if lines[s : s + len(part)] == [line.rstrip() for line in part]), None)
        if found is None:
            return False
        place = found + len(part)
    return place == len(lines)
