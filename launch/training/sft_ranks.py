"""The learner ranks of a supervised run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from reprise.actors.learner import LearnerActor
from reprise.actors.learner_group import LearnerGroup
from reprise.launch.placement.nodes import Plan
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.training.actor_set import ActorSet


class Ranks(ActorSet):
    """All actors of a supervised run; the death of one ends it."""

    def __init__(
        self, recipe: SftRecipe, plan: Plan, policy_dir: Path, logs: Path, note: Callable[[str], None]
    ) -> None:
        super().__init__(plan, logs, recipe.name, recipe.cluster.start_deadline_s, note)
        self._recipe = recipe
        self._policy_dir = policy_dir

    def _begin(self) -> None:
        recipe = self._recipe
        self.learner = LearnerGroup([self._create(p, LearnerActor) for p in self._plan.of("learner")], recipe.learner)
        self._up = asyncio.create_task(
            self.learner.start(
                self._policy_dir, recipe.policy.dtype, recipe.temperature, recipe.seed, recipe.cluster.learner_port
            )
        )
        self._started = dict.fromkeys(self._actors, self._up)

    async def ready(self) -> None:
        """Wait for the ranks to have loaded the policy."""
        deadline_s = self._recipe.cluster.start_deadline_s
        await self._within(asyncio.shield(self._up), "the learner's ranks", "cluster.start_deadline_s", deadline_s)
