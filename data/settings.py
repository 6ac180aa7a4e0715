"""Where the tasks of a run come from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TaskSource(BaseModel):
    """Tasks from a JSONL file or from a generator. Exactly one of `path` and `generator`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(
        None, min_length=1, description="JSONL file, one object a line with the fields of `reprise.Task`"
    )
    generator: str | None = Field(
        None,
        description="`package.module:function` or `./file.py:function`, called as function(**args), returning an "
        "iterable of Task",
    )
    args: dict[str, object] = Field(default_factory=dict, description="keyword arguments of the generator")

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> TaskSource:
        if (self.path is None) == (self.generator is None):
            raise ValueError(
                "give exactly one of `path` (a JSONL file) and `generator` (such as reprise.data.demo.addition:tasks); "
                f"here {'neither is' if self.path is None else 'both are'} set"
            )
        if self.args and self.generator is None:
            raise ValueError("`args` belong to `generator`; with `path` leave them out")
        return self

    @property
    def name(self) -> str:
        """What error messages call this source."""
        return str(self.path) if self.path is not None else f"{self.generator}({self.args})"


class TrainSource(TaskSource):
    """A source of training tasks with its share of the mixture."""

    weight: float = Field(1.0, gt=0, description="share of the training stream, relative to the other sources' weights")


class DataSettings(BaseModel):
    """What is trained on and what is held out. A held-out prompt never enters training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: list[TrainSource] = Field(min_length=1, description="sources of the training stream, mixed by weight")
    held_out: list[TaskSource] = Field(
        default_factory=list, description="sources of the evaluation tasks; excluded from training by id and by prompt"
    )

    @model_validator(mode="after")
    def _no_source_on_both_sides(self) -> DataSettings:
        for source in self.train:
            for other in self.held_out:
                if (source.path, source.generator, source.args) == (other.path, other.generator, other.args):
                    raise ValueError(
                        f"{source.name} is both a train and a held_out source, so nothing of it could be trained on; "
                        "give the two sides different files, or a generator's args a different split"
                    )
        return self
