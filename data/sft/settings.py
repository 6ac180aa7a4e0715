"""Where the conversations of supervised training come from, and in which mixture they are drawn."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from reprise.data.sft.schedules import Written, check_mixture, context_steps, weight_schedule


def _checked_weight(written: object) -> object:
    weight_schedule(written)
    return written


def _checked_context(written: object) -> object:
    context_steps(written)
    return written


def _as_written(value: object) -> object:
    return value


# Kept as written; `weight_schedule` and `context_steps` of data/sft/schedules.py read them.
Weight = Annotated[Written, PlainValidator(_checked_weight), PlainSerializer(_as_written)]
Context = Annotated[int | list[list[float]], PlainValidator(_checked_context), PlainSerializer(_as_written)]

Turns = Literal["all", "last"]
Overlong = Literal["error", "drop"]


class EvalSource(BaseModel):
    """Conversations from files or from a generator. Exactly one of `path` and `generator`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what errors and metrics call it; each source has its own"
    )
    path: str | None = Field(
        None,
        min_length=1,
        description="JSONL, Parquet or Arrow file, or a folder or glob of such shards; records are "
        '{"messages": [{"role", "content", ...}, ...]} with, if wanted, "tools" and "id"',
    )
    generator: str | None = Field(
        None,
        description="`package.module:function` or `./file.py:function`, called as function(**args), returning an "
        "iterable of records",
    )
    args: dict[str, object] = Field(default_factory=dict, description="keyword arguments of the generator")
    domain: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what its metrics are counted under; null: its name"
    )

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> Self:
        if (self.path is None) == (self.generator is None):
            raise ValueError(
                "give exactly one of `path` (JSONL, Parquet, Arrow) and `generator` (such as "
                "reprise.data.demo.conversations:conversations); here "
                f"{'neither is' if self.path is None else 'both are'} set"
            )
        if self.args and self.generator is None:
            raise ValueError("`args` belong to `generator`; with `path` leave them out")
        return self

    @property
    def counted_as(self) -> str:
        """The domain of its metrics."""
        return self.domain or self.name


class SftSource(EvalSource):
    """A source of training conversations with its share of the mixture."""

    weight: Weight = Field(
        1.0,
        description="share of the draws, relative to the other sources' weights: a number, {from: 0.6, to: 0.2} "
        "(linear over the stage) or [[0.0, 0.6], [0.5, 0.2]] (each from that fraction of the stage on)",
    )


class Mixture(BaseModel):
    """The sources of a stage, mixed by weight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: list[SftSource] = Field(min_length=1, description="sources of training conversations")

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> Self:
        check_names(self.sources)
        check_mixture([weight_schedule(source.weight) for source in self.sources])
        return self


def check_names(sources: list[SftSource] | list[EvalSource]) -> None:
    """ValueError if two sources have one name."""
    names = [source.name for source in sources]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"sources: the name {twice[0]!r} is used {names.count(twice[0])} times; give each its own")
