"""What recipes of both kinds share: their first keys, and how they report sections that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from reprise.models.settings import PolicySettings


class Contradiction(NamedTuple):
    """Settings of two sections that cannot both hold: their keys, the first to blame, and what would be right."""

    keys: tuple[str, ...]
    message: str


class RunRecipe(BaseModel):
    """The beginning of every recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        description="the run's folder below `runs_dir`; the recipe file's name if left out",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seeds the order of the data, sampling and initial weights")
    runs_dir: str = Field("runs", min_length=1, description="folder of all runs; relative to the working directory")
    policy: PolicySettings

    def contradictions(self) -> Iterator[Contradiction]:
        """What is wrong between sections; each has already checked its own keys."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """What is allowed but worth knowing before hours are spent; shown by `--dry-run` and when a run starts."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        found = list(self.contradictions())
        if found:
            messages = "; ".join(c.message for c in found)
            raise PydanticCustomError("contradiction", "{messages}", {"messages": messages, "found": found})
        return self
