"""`before`: an SFT recipe whose stages a run goes through before RL, on RL's policy and learner ranks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from reprise.launch.recipe.base import Contradiction
from reprise.launch.recipe.settings import LearnerPlaces
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.recipe.yaml_tree import Keys, dotted
from reprise.learner.settings import STAGE_KEYS, TrainEngineSettings

# Where a run of its own would write: of no meaning here, whatever the file says.
_OF_THE_RUN: tuple[Keys, ...] = (("name",), ("runs_dir",), ("tracking",))
# What RL's recipe fixes, and the key that says so there: it may be left out here, and must not differ.
FIXED: dict[Keys, Keys] = {
    ("seed",): ("seed",),
    ("policy",): ("policy",),
    ("temperature",): ("rollout", "temperature"),
    **{("learner", key): ("learner", key) for key in TrainEngineSettings.model_fields if key not in STAGE_KEYS},
    **{("cluster", key): ("cluster", key) for key in LearnerPlaces.model_fields},
}


class BeforeSettings(BaseModel):
    """Supervised training before RL, by the same learner ranks, while the engines start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sft: SftRecipe = Field(
        description="an SFT recipe (`reprise recipe --keys --sft`): its path, relative to this file, or its keys. "
        "seed, policy, temperature, cluster and the learner's layout are those of this recipe"
    )

    @field_serializer("sft")
    def _own(self, sft: SftRecipe) -> dict[str, Any]:
        """Without what this recipe says already, so that the whole can be changed in one place."""
        dumped = sft.model_dump(mode="json")
        for *sections, key in (*_OF_THE_RUN, *FIXED):
            del _section(dumped, sections)[key]
        return {key: value for key, value in dumped.items() if value != {}}


def completed(sft: Mapping[str, object], rl: Mapping[str, object]) -> dict[str, object]:
    """The values of an SFT recipe before RL, with those of the whole (all of them, defaults included) that it has not
    itself."""
    whole = copy.deepcopy(dict(sft))
    for keys, of_rl in [*((keys, keys) for keys in _OF_THE_RUN), *FIXED.items()]:
        *sections, key = keys
        section = _section(whole, sections)
        if isinstance(section, dict) and (keys in _OF_THE_RUN or section.get(str(key)) is None):
            section[str(key)] = _section(rl, of_rl)
    return whole


def differences(sft: SftRecipe, rl: BaseModel) -> Iterator[Contradiction]:
    """Keys of an SFT recipe before RL that say something else than RL's recipe."""
    for keys, of_rl in FIXED.items():
        own, theirs = (_attribute(recipe, at) for recipe, at in ((sft, keys), (rl, of_rl)))
        if own != theirs:
            here, there = f"before.sft.{dotted(keys)}", dotted(of_rl)
            values = "" if isinstance(own, BaseModel) else f" ({own} and {theirs})"
            yield Contradiction(
                (here, there),
                f"{here} is not {there}{values}: RL continues with this policy on these ranks; leave it out there, or "
                "set both alike",
            )


def _section(values: Any, keys: Any) -> Any:
    for key in keys:
        values = values.setdefault(key, {}) if isinstance(values, dict) else values
    return values


def _attribute(recipe: object, keys: Keys) -> object:
    for key in keys:
        recipe = getattr(recipe, str(key))
    return recipe
