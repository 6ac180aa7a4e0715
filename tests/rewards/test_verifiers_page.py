"""docs/verifiers.md does what it says: its files are written, its commands run, and they print what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "verifiers.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 120


def words(line: str) -> str:
    """A line without its exact blanks and rules, which depend on the width of the terminal."""
    return " ".join(line.split())


def commands() -> list[tuple[str, list[str]]]:
    """The commands of the page, in order, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for language, _, content in BLOCK.findall(PAGE):
        for line in content.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(words(line))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    for _, name, content in BLOCK.findall(PAGE):
        if name:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    site = tmp_path / "site"  # in place of the environment that runs the tests
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "COLUMNS": "120",
    }
    assert len(commands()) >= 8
    for command, expected in commands():
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed = [words(line) for line in done.stdout.splitlines()]
        for line in expected:
            assert any(line in each for each in printed), f"{command}\ndoes not print: {line}\nbut: {done.stdout}"


def test_the_page_names_every_built_in_verifier() -> None:
    from reprise.rewards.registry import BUILT_IN

    table = PAGE.split("## The built-in ones")[1].split("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {*BUILT_IN, "use"}


def test_the_page_names_every_argument_of_a_built_in_verifier() -> None:
    import inspect

    from reprise.rewards.registry import BUILT_IN, verifier_class

    for name in set(BUILT_IN) - {"llm_judge"}:
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
        missing = [arg for arg in inspect.signature(verifier_class(name, "")).parameters if f"`{arg}`" not in row]
        assert missing == [], f"{name}: {missing}"
