"""The held-out evaluations of a run: before and after RL, and those of its curve."""

from __future__ import annotations

from reprise.actors.fleet import Fleet
from reprise.data.tasks import TaskSets
from reprise.launch.evaluation.evaluate import evaluate
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.recorder import Recorder


class HeldOut:
    """When held-out tasks are evaluated, and recorded; nothing without held-out tasks."""

    def __init__(self, recipe: Recipe, fleet: Fleet, tasks: TaskSets, recorder: Recorder) -> None:
        self._recipe, self._fleet, self._tasks, self._recorder = recipe, fleet, tasks, recorder
        self._on_curve = recipe.eval.on_curve(recipe.steps)

    async def before(self) -> None:
        """The policy that RL begins with, on all tasks."""
        await self._all(0, "before")

    async def after(self) -> None:
        """The policy that RL has made, on all tasks."""
        await self._all(self._recipe.steps, "after")

    async def resumed(self, version: int) -> None:
        """The policy that a resumed run starts from, if an early end came before its evaluation."""
        if self._recorder.evaluated_at < version:
            await self.during(version)

    async def during(self, version: int) -> None:
        """The policy of this version on the curve's tasks, if it is its turn."""
        if self._recipe.eval.due(version, self._recipe.steps):
            await self._evaluate(version, self._on_curve)

    async def _all(self, version: int, when: str) -> None:
        if self._tasks.held_out:
            self._recorder.progress.phase(f"{when}-eval")
        await self._evaluate(version, self._recipe.eval.final_tasks_per_domain, when)

    async def _evaluate(self, version: int, limit: int, when: str = "") -> None:
        if not self._tasks.held_out:
            return
        rollout = self._recipe.rollout
        evaluated = await evaluate(
            self._fleet,
            self._tasks.held_out_by_domain(limit),
            samples=self._recipe.eval.samples,
            at_once=2 * rollout.engines * rollout.engine.max_num_seqs,  # as many wait as run
            version=version,
            curve=self._on_curve,
            when=when,
        )
        self._recorder.evaluated(version, evaluated, await self._fleet.stats(), when)
