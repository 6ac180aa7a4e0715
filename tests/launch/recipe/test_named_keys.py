"""The keys that messages name are keys of a recipe, so that their advice can be followed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from reprise.launch.recipe.keys import field_at, model_at
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe

ROOT = Path(__file__).parents[3]
PACKAGES = ("actors", "buffer", "core", "data", "launch", "learner", "models", "rewards", "rollout", "sandbox")
SECTIONS = "|".join(name for name, field in Recipe.model_fields.items() if hasattr(field.annotation, "model_fields"))
NAMED = re.compile(rf"(?<![\w./-])(?:{SECTIONS})(?:\.[a-z_]+)+(?![\w(:/]|\.\w)")
MODULES = {"data.reasoning_gym_tasks"}  # called by its name in a sentence
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def sentences(source: str) -> list[str]:
    """The texts of a module that are neither docstrings nor names: sentences, for people."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    return [node.value for node in texts if isinstance(node.value, str) and " " in node.value]


def is_key(name: str) -> bool:
    keys = tuple(name.partition(".args.")[0].split("."))
    return name in MODULES or any(field_at(keys, kind) or model_at(keys, kind) for kind in (Recipe, SftRecipe))


@pytest.mark.parametrize("package", PACKAGES)
def test_keys_in_sentences_are_keys(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] == package
        for text in sentences(path.read_text())
        for name in NAMED.findall(text)
        if not is_key(name)
    ]
    assert not wrong
