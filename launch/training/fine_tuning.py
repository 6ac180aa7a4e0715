"""The supervised stages of a recipe, on a learner that is up: a whole run of `reprise sft`, or what comes before RL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import ray

from reprise.actors.learner import SftStep
from reprise.actors.learner_group import LearnerGroup
from reprise.actors.remote import Ref, passed
from reprise.launch.curriculum import Curriculum, CurriculumState, SftBatch, SftData, as_document
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.progress import Progress
from reprise.launch.training.saving import Saving
from reprise.learner.packing import Document


class StageRecorder(Protocol):
    """What records supervised training.

    progress      of the run
    evaluated_at  the step of the last evaluation; -1: none yet
    """

    progress: Progress
    evaluated_at: int

    def training_begins(self) -> None:
        """The first step comes now."""

    def step(self, batch: SftBatch, done: SftStep) -> None:
        """An optimiser step."""

    def evaluated(self, step: int, losses: Mapping[str, float]) -> None:
        """Held-out losses by domain after `step`."""


class Actors(Protocol):
    """A run's actors, as far as they are needed here."""

    learner: LearnerGroup
    at_early_end: Callable[[], Awaitable[None]] | None


async def fine_tune(
    recipe: SftRecipe,
    data: SftData,
    actors: Actors,
    checkpoints: Path,
    checkpoint: Path | None,
    recorder: StageRecorder,
    phase: str = "training",
) -> None:
    """All stages, from `checkpoint` on if there is one. Checkpoints go to the folder `checkpoints`; the last step's is
    complete when this returns."""
    learner = actors.learner
    curriculum = Curriculum(data.stages, recipe.seed)
    cursor = await learner.keep_checkpoints(checkpoints, recipe.checkpoints, checkpoint)
    if cursor is not None:
        curriculum.load_state(cast(CurriculumState, cursor))
    saving = Saving(learner, recipe.checkpoints, curriculum.done, recorder.progress.note)
    held_out: dict[str, list[Document]] = {}
    for source in data.held_out:
        held_out.setdefault(source.domain, []).extend(as_document(source[i]) for i in range(len(source)))
    documents: Ref[dict[str, list[Document]]] = ray.put(held_out)

    async def evaluate() -> None:
        if held_out:
            recorder.evaluated(curriculum.done, await learner.sft_evaluate(passed(documents)))

    def evaluation_due() -> bool:
        done, every = curriculum.done, recipe.eval.every
        return done == 0 or curriculum.between_stages or bool(every and done % every == 0)

    if evaluation_due() and recorder.evaluated_at < curriculum.done:  # before training, or missed by an early end
        await evaluate()
    recorder.progress.phase(phase, curriculum.total)
    recorder.training_begins()
    actors.at_early_end = saving.rest
    for batch in curriculum:
        recorder.step(batch, await saving.step(learner.sft_step(batch.documents, batch.lr)))
        await saving.done(batch.step, curriculum.state())
        if evaluation_due():
            await evaluate()
        await saving.due(at_once=batch.ends_stage)
    await learner.saved()
