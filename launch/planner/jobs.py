"""What a recipe, for RL or for SFT, trains on, and the configuration of its policy."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.models.policy import check_policy, policy_config, prepare_policy, read_config
from reprise.models.settings import PolicySettings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True, slots=True)
class BatchTokens:
    """The most tokens that a batch trains on, and how they are counted."""

    tokens: int
    how: str


def batch_of(recipe: Recipe | SftRecipe) -> BatchTokens:
    """An RL batch, all its passes; or one optimiser step of the last SFT stage."""
    if isinstance(recipe, SftRecipe):
        stage = recipe.stages[-1]
        return BatchTokens(
            stage.batch_size * stage.largest_context,
            f"an optimiser step of stage {stage.name}: at most {stage.batch_size} conversations x "
            f"{stage.largest_context:,} tokens",
        )
    groups, size, length = recipe.buffer.batch_groups, recipe.rollout.group_size, recipe.rollout.engine.max_model_len
    epochs = recipe.learner.epochs
    return BatchTokens(
        groups * size * length * epochs,
        f"an RL batch: at most {groups} groups x {size} responses x {length:,} tokens"
        + (f" x {epochs} epochs" if epochs > 1 else ""),
    )


def config_of(policy: PolicySettings) -> PreTrainedConfig:
    """The transformers configuration of a recipe's policy; of a folder, config.json is enough.

    A builder that cannot give its configuration alone builds its policy in a temporary folder.
    """
    if policy.path is None:
        check_policy(policy)
    config = policy_config(policy)
    if config is not None:
        return config
    with tempfile.TemporaryDirectory() as folder:
        return read_config(prepare_policy(policy, Path(folder), seed=0))
