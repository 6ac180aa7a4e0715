"""The actors of an RL run: engines, verifiers, buffer and learner ranks, started side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from reprise.actors.buffer import BufferActor
from reprise.actors.fleet import Fleet
from reprise.actors.learner import LearnerActor
from reprise.actors.learner_group import LearnerGroup
from reprise.actors.output import log_file
from reprise.actors.remote import Actor
from reprise.actors.rollout import RolloutActor
from reprise.actors.verifier import VerifierActor, pool_of_actors
from reprise.launch.placement.nodes import Plan
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.actor_logs import last_words
from reprise.launch.training.actor_set import CLOSE_DEADLINE_S, ActorSet
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.verifier_pool import VerifierPool


class Cluster(ActorSet):
    """All actors of one run, as an asynchronous context.

    Entering creates every actor and begins to start engines, verifiers and learner side by side; `learner_ready` and
    `engines_ready` wait for them. When an engine, the buffer or a learner dies, the body is cancelled and the context
    raises `ActorFailure`; a verifier is restarted (`VerifierPool`), and `verifier_lost` is called.
    `verifier_failed` is called with what keeps answers from being verified, and `note` with what the run waits for.
    Leaving closes all actors and kills what does not close in time.
    """

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        policy_dir: Path,
        logs: Path,
        note: Callable[[str], None],
        verifier_lost: Callable[[str], None],
        verifier_failed: Callable[[Sequence[InfraError]], None],
    ) -> None:
        super().__init__(plan, logs, recipe.name, recipe.cluster.start_deadline_s, note)
        self._recipe = recipe
        self._policy_dir = policy_dir
        self._verifier_lost, self._verifier_failed = verifier_lost, verifier_failed
        self._pools: dict[str, VerifierPool] = {}

    def _begin(self) -> None:
        recipe = self._recipe
        transport = recipe.weights.transport_path
        engines = [
            self._create(p, RolloutActor, recipe.rollout, self._policy_dir, recipe.policy.dtype, transport, recipe.seed)
            for p in self._plan.of("engine")
        ]
        self._pools = {name: self._pool(name) for name in recipe.rewards.verifiers}
        (placed,) = self._plan.of("buffer")
        self.buffer = self._create(placed, BufferActor, recipe.buffer, recipe.seed, recipe.learner.epochs)
        ranks = [self._create(p, LearnerActor) for p in self._plan.of("learner")]
        self.fleet = Fleet(engines, self._pools)
        self.learner = LearnerGroup(ranks, recipe.learner_settings)
        self._learner_up = asyncio.create_task(self._start_learner())
        self._started = {
            name: self._learner_up if name.startswith("learner") else asyncio.ensure_future(actor.handle.start.remote())
            for name, actor in self._actors.items()
        }
        for pool in self._pools.values():
            pool.start()

    async def _close(self) -> None:
        await asyncio.gather(super()._close(), *(pool.close(CLOSE_DEADLINE_S) for pool in self._pools.values()))

    def verifier_notes(self) -> list[str]:
        """What users must know of how answers are verified on these machines; complete once `engines_ready`."""
        return [f"verifier {name}: {note}" for name, pool in self._pools.items() for note in pool.notes]

    def _pool(self, name: str) -> VerifierPool:
        placed = [p for p in self._plan.of("verifier") if p.kind == name]
        rewards = self._recipe.rewards

        def create(number: int, again: bool) -> Actor[VerifierActor]:
            return self._remote(placed[number], again, VerifierActor, rewards, name)

        def lost(what: str) -> None:
            logs = [log_file(self._logs, p.name) for p in placed if what.startswith(f"{p.name} ")]
            self._verifier_lost("\n".join([what, *map(last_words, logs)]))

        return pool_of_actors(name, rewards.verifiers[name], create, lost, self._verifier_failed, self.fail)

    async def _start_learner(self) -> None:
        recipe = self._recipe
        await self.learner.start(
            self._policy_dir, recipe.policy.dtype, recipe.rollout.temperature, recipe.seed, recipe.cluster.learner_port
        )

    async def learner_ready(self) -> None:
        """Wait for the learner's ranks."""
        deadline_s = self._recipe.cluster.start_deadline_s
        up = asyncio.shield(self._learner_up)
        await self._within(up, "the learner's ranks", "cluster.start_deadline_s", deadline_s)

    async def engines_ready(self) -> None:
        """Wait for engines, verifiers and buffer, and connect the learner to the engines."""
        pools = (pool.started() for pool in self._pools.values())
        started = asyncio.gather(*(asyncio.shield(start) for start in self._started.values()), *pools)
        deadline_s = self._recipe.rollout.engine.start_deadline_s
        await self._within(started, "engines and verifiers", "rollout.engine.start_deadline_s", deadline_s)
        parallel = self._recipe.rollout.engine.tensor_parallel
        await self.learner.connect(self._recipe.weights, self.fleet.engines, parallel)
