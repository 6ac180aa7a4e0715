"""The stages of a supervised run laid end to end: which conversations and which learning rate each step has.

Pure but for the data sets it is given; its state is the run's data cursor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from reprise.data.sft.loading import TokenizedSource
from reprise.data.sft.rendering import Encoded
from reprise.data.sft.stream import SftStream, StreamState
from reprise.launch.recipe.sft_schema import StageSettings
from reprise.learner.optim import Schedule, sft_schedule
from reprise.learner.packing import Document


@dataclass(frozen=True)
class Stage:
    """A stage with its data."""

    settings: StageSettings
    sources: Sequence[TokenizedSource]
    steps: int
    schedule: Schedule

    @classmethod
    def of(cls, settings: StageSettings, sources: Sequence[TokenizedSource]) -> Stage:
        """How many steps the epochs make is known once the data is."""
        steps = settings.steps
        if steps is None:
            assert settings.epochs is not None
            steps = max(1, round(settings.epochs * sum(len(s) for s in sources) / settings.batch_size))
        rate = sft_schedule(settings.lr, settings.warmup_steps, settings.schedule, steps, settings.decay_fraction)
        return cls(settings, sources, steps, rate)

    def stream(self, seed: int, number: int) -> SftStream:
        return SftStream(
            [(s.name, s.lengths) for s in self.sources],
            [s.weight for s in self.settings.sources],
            seed,
            self.steps * self.settings.batch_size,
            self.settings.context,
            number,
        )


@dataclass(frozen=True)
class SftData:
    """A recipe's conversations, read, checked and tokenised.

    notes  what users must know of them: what was left out, and why
    """

    stages: Sequence[Stage]
    held_out: Sequence[TokenizedSource]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class SftBatch:
    """What an optimiser step trains on.

    stage        its number, from 0
    step         of the whole run, from 1
    shares       of the mixture at this step, by source
    ends_stage   whether it is the last of its stage
    """

    stage: int
    step: int
    documents: list[Document]
    lr: float
    context: int
    shares: Mapping[str, float]
    ends_stage: bool


class CurriculumState(TypedDict):
    """The data cursor, JSON-able."""

    stage: int
    step: int
    done: int
    stream: StreamState


class Curriculum:
    """Iterates over all batches of a run, in an order that is a function of the seed."""

    def __init__(self, stages: Sequence[Stage], seed: int) -> None:
        self._stages, self._seed = list(stages), seed
        self._stage, self._step, self._done = 0, 0, 0
        self._stream = stages[0].stream(seed, 0)

    @property
    def total(self) -> int:
        """Optimiser steps of the run."""
        return sum(stage.steps for stage in self._stages)

    @property
    def done(self) -> int:
        """Batches given so far."""
        return self._done

    @property
    def between_stages(self) -> bool:
        """Whether the batch given last ended its stage."""
        return self._step == self._stages[self._stage].steps

    def __iter__(self) -> Curriculum:
        return self

    def __next__(self) -> SftBatch:
        if self._step == self._stages[self._stage].steps:
            if self._stage + 1 == len(self._stages):
                raise StopIteration
            self._stage, self._step = self._stage + 1, 0
            self._stream = self._stages[self._stage].stream(self._seed, self._stage)
        stage = self._stages[self._stage]
        context, shares = self._stream.context, self._stream.shares()
        draws = [next(self._stream) for _ in range(stage.settings.batch_size)]
        lr = stage.schedule.at(self._step)
        self._step, self._done = self._step + 1, self._done + 1
        return SftBatch(
            stage=self._stage,
            step=self._done,
            documents=[as_document(stage.sources[d.source][d.record]) for d in draws],
            lr=lr,
            context=context,
            shares=shares,
            ends_stage=self._step == stage.steps,
        )

    def state(self) -> CurriculumState:
        """The data cursor."""
        return {"stage": self._stage, "step": self._step, "done": self._done, "stream": self._stream.state()}

    def load_state(self, state: CurriculumState) -> None:
        """Go on from a cursor. UserError if it belongs to other data."""
        self._stage, self._step, self._done = state["stage"], state["step"], state["done"]
        self._stream = self._stages[self._stage].stream(self._seed, self._stage)
        self._stream.load_state(state["stream"])


def as_document(encoded: Encoded) -> Document:
    """A conversation for the learner: every trainable token is a target."""
    return Document(encoded.ids, np.flatnonzero(encoded.trainable).astype(np.int32))
