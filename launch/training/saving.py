"""When a run is saved: every so many steps, and once more when it ends early, so that no step is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from reprise.actors.learner_group import LearnerGroup
from reprise.learner.settings import SaveSettings

T = TypeVar("T")

# How long the step that is under way when a run ends may take, and then the checkpoint.
DEADLINE_S = 300.0


class Saving:
    """The checkpoints of one run.

    Args:
        learner: what is saved.
        settings: the recipe's `checkpoints`.
        saved: the step that the run continues from; that one is saved already.
        note: called with a sentence on what happens at an early end.
    """

    def __init__(self, learner: LearnerGroup, settings: SaveSettings, saved: int, note: Callable[[str], None]) -> None:
        self._learner, self._every, self._note = learner, settings.every, note
        self._at = self._saved = saved
        self._cursor: object = None
        self._between_steps = True

    async def step(self, work: Awaitable[T]) -> T:
        """What `work` gives, a step of the learner, which is not stopped half-way: weights and records would differ.

        If the task is cancelled meanwhile, that is felt in `done`.
        """
        self._between_steps = False
        step = asyncio.ensure_future(work)
        try:
            result = await asyncio.shield(step)
        except asyncio.CancelledError as stopped:
            if step.done():  # with what ends the run
                raise
            self._note("Stopping: the step under way is finished first (interrupt again to stop at once).")
            async with asyncio.timeout(DEADLINE_S):
                result = await asyncio.shield(step)
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            task.cancel(*stopped.args)
        self._between_steps = True
        return result

    async def done(self, step: int, cursor: object) -> None:
        """The learner has done `step`; `cursor` is what the driver needs to go on from it."""
        self._at, self._cursor = step, cursor
        await asyncio.sleep(0)  # where a cancellation during the step takes effect

    async def due(self, at_once: bool = False) -> None:
        """Save the last step if its turn has come, or `at_once`."""
        if self._every and (at_once or self._at % self._every == 0):
            await self._save()

    async def rest(self) -> None:
        """The run ends early: save the last step if no checkpoint has it and the learner is well. Never raises but when
        it is cancelled itself."""
        if self._at == self._saved or not self._between_steps or self._learner.failed:
            return
        self._note(f"Stopping: saving a checkpoint of step {self._at} first (interrupt again to stop at once).")
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._save()
                await self._learner.saved()
        except TimeoutError:
            self._note(f"Step {self._at} was not saved within {DEADLINE_S:g} s.")
        except Exception as error:  # noqa: BLE001 - the run ends with what ended it, not with this
            self._note(f"Step {self._at} was not saved: {error}")

    async def _save(self) -> None:
        await self._learner.save(self._at, self._cursor)
        self._saved = self._at
