"""The recipe of a supervised run: stages, one after the other, on the learner's engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reprise.data.sft.schedules import largest_context
from reprise.data.sft.settings import Context, EvalSource, Mixture, Overlong, Turns, check_names
from reprise.launch.recipe.base import Contradiction, RunRecipe
from reprise.launch.recipe.settings import LearnerPlaces, TrackingSettings
from reprise.learner.settings import SaveSettings, TrainEngineSettings


class StageSettings(Mixture):
    """A stage of the curriculum: its data, how long it lasts, its context length and learning rate."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what progress and metrics call the stage")
    context: Context = Field(
        examples=[4096, [[0.0, 2048], [0.5, 4096]]],
        description="longest conversation, in tokens; [[0.0, 16384], [0.5, 32768]]: each from that fraction of the "
        "stage on, longer ones waiting until they fit",
    )
    steps: int | None = Field(None, ge=1, description="optimiser steps; exactly one of steps and epochs")
    epochs: float | None = Field(None, gt=0, description="passes over as many conversations as the sources hold")
    batch_size: int = Field(32, ge=1, description="conversations of an optimiser step, over all ranks")
    lr: float = Field(gt=0, description="peak learning rate")
    warmup_steps: int = Field(0, ge=0, description="optimiser steps of linear rise to `lr`")
    schedule: Literal["constant", "cosine", "linear", "wsd"] = Field(
        "cosine",
        description="after the warm-up: constant; cosine or linear down to zero at the stage's end; wsd: constant, "
        "then linear to zero over the last `decay_fraction`",
    )
    decay_fraction: float = Field(0.2, gt=0, le=1, description="wsd: the part of the stage that decays")
    turns: Turns = Field(
        "all", description="assistant turns that are trained on; last: for templates that rewrite earlier turns"
    )
    overlong: Overlong = Field(
        "error", description="a conversation longer than the context: error refuses it at load, drop leaves it out, "
        "counted"
    )  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            both = "neither is" if self.steps is None else "both are"
            raise ValueError(f"give exactly one of steps and epochs; here {both} set")
        if self.steps is not None and self.schedule != "constant" and self.steps <= self.warmup_steps:
            raise ValueError(
                f"steps ({self.steps}) must be above warmup_steps ({self.warmup_steps}) for schedule {self.schedule}"
            )
        return self

    @property
    def largest_context(self) -> int:
        return largest_context(self.context)


class SftEvalSettings(BaseModel):
    """Held-out conversations: their loss by domain shows what a stage forgets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: list[EvalSource] = Field(
        default_factory=list, description="held-out conversations; equal ones are taken out of training"
    )
    every: int = Field(50, ge=0, description="optimiser steps between two evaluations; 0: only at stages' ends")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        check_names(self.sources)
        return self


class SftSaveSettings(SaveSettings):
    """Checkpoints of a supervised run, whose steps are shorter than RL's."""

    every: int = Field(
        200,
        ge=0,
        description="optimiser steps between two checkpoints, and one at each stage's end; 0: none but at an early end",
    )


class SftRecipe(RunRecipe):
    """A whole supervised run."""

    temperature: float = Field(
        1.0, gt=0, description="by which logits are divided: the temperature at which RL will sample"
    )
    stages: list[StageSettings] = Field(min_length=1, description="trained one after the other")
    eval: SftEvalSettings = SftEvalSettings()
    learner: TrainEngineSettings = TrainEngineSettings()
    checkpoints: SftSaveSettings = SftSaveSettings()
    tracking: TrackingSettings = TrackingSettings()
    cluster: LearnerPlaces = LearnerPlaces()

    @property
    def sources(self) -> list[EvalSource]:
        """Of all conversations, held out and trained on."""
        return [*self.eval.sources, *(source for stage in self.stages for source in stage.sources)]

    @property
    def largest_context(self) -> int:
        """The longest conversation of any stage, tokens."""
        return max(stage.largest_context for stage in self.stages)

    def contradictions(self) -> Iterator[Contradiction]:
        names = [stage.name for stage in self.stages]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                yield Contradiction(("stages",), f"stages: two are called {name!r}; metrics could not tell them apart")
        budget = self.learner.token_budget
        for number, stage in enumerate(self.stages):
            if stage.largest_context > budget:
                yield Contradiction(
                    (f"stages.{number}.context", "learner.token_budget"),
                    f"learner.token_budget {budget} is below the context {stage.largest_context} of stage "
                    f"{stage.name}: the longest conversation fits no row; raise the one or lower the other",
                )
            if stage.batch_size < self.learner.data_parallel:
                yield Contradiction(
                    (f"stages.{number}.batch_size", "learner.world_size"),
                    f"batch_size {stage.batch_size} of stage {stage.name} is below the {self.learner.data_parallel} "
                    "data-parallel ranks (learner.world_size / learner.sequence_parallel): some would have nothing to "
                    "do",
                )

    def notes(self) -> list[str]:
        found = []
        if not self.eval.sources:
            found.append("eval.sources is empty: forgetting is not measured.")
        if not self.checkpoints.every:
            found.append("checkpoints.every is 0: a run that is killed (SIGKILL) starts from the beginning.")
        return found
