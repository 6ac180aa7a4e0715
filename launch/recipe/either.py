"""Loading a recipe of whichever kind it is: for RL, or for supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reprise.launch.recipe.loading import resolved, validate
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe


def load_either(path: str | Path, overrides: Sequence[str] = ()) -> Recipe | SftRecipe:
    """A recipe with `stages` is for SFT, any other for RL. Raises `UserError` as `launch.loading.load` does."""
    values, origins = resolved(path, overrides)
    if "stages" in values:
        return validate(values, origins, SftRecipe)
    return validate(values, origins, Recipe)
