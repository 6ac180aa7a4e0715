"""The rules of a maths data set: what counts as equal beyond the mathematics. Strict unless it says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reprise.core.errors import UserError
from reprise.core.types import Task

KEY = "math"  # the entry of a task's metadata that holds its rules


class MathsRules(BaseModel):
    """`task.metadata["math"]`, or the verifier's argument `rules` for all its tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    percent: Literal["distinct", "fraction", "ignore"] = Field(
        "distinct",
        description="10% equals only 10% (distinct), also 0.1 (fraction), or 10 (ignore: the sign is dropped)",
    )
    order: Literal["free", "fixed"] = Field("free", description="may the items of a list without brackets be permuted?")
    tolerance: float = Field(
        0.0, ge=0, lt=1, description="greatest difference of two numbers, relative to the reference; 0: exactly equal"
    )
    units: Literal["required", "optional"] = Field(
        "required", description="where the reference has a unit: must the answer have it? A different one is wrong"
    )
    interval_ends: Literal["strict", "ignore"] = Field("strict", description="does [0,1) differ from [0,1]?")
    vectors: Literal["distinct", "same"] = Field(
        "distinct", description="do a tuple, a row and a column with the same entries differ?"
    )
    evaluate: bool = Field(
        False,
        description=r"may the answer leave something to carry out that the reference does not, such as `17\cdot 23`?",
    )


class Request(TypedDict):
    """What a worker is asked: does the answer equal one of the references?"""

    references: list[str]
    answer: str
    rules: dict[str, object]


class Found(TypedDict):
    """What it answers: could each side be read, and is the answer right?"""

    reference_read: bool
    answer_read: bool
    right: bool


def rules_of(task: Task, defaults: MathsRules) -> MathsRules:
    """The rules of a task: the verifier's, where `metadata.math` does not say otherwise. UserError names the field."""
    stated = task.metadata.get(KEY)
    if stated is None:
        return defaults
    where = f"task {task.id!r}: metadata.{KEY}"
    if not isinstance(stated, Mapping):
        raise UserError(f'{where} must be rules such as {{"percent": "fraction"}}, not {stated!r}')
    try:
        return MathsRules.model_validate({**defaults.model_dump(), **stated})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        valid = f"; valid: {', '.join(MathsRules.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise UserError(f"{where}.{field}: {first['msg']}, not {first['input']!r}{valid}") from error


def rules_from(arguments: Mapping[str, object]) -> MathsRules:
    """The rules given to the verifier in the recipe (pydantic's ValidationError, a ValueError, if they are none)."""
    return MathsRules.model_validate(dict(arguments))
