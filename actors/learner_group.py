"""All learner ranks as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import ray
from ray.exceptions import RayError

from reprise.actors.errors import ActorFailure, unwrapped
from reprise.actors.learner import LearnerActor, SftStep, Trained
from reprise.actors.remote import Actor, Method, Ref, passed
from reprise.actors.rollout import RolloutActor
from reprise.core.errors import RunError, UserError
from reprise.core.types import Float32, Group, Int32
from reprise.learner.publishing.control import PublishError
from reprise.learner.publishing.report import PublishReport
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.settings import SaveSettings, TrainEngineSettings

if TYPE_CHECKING:
    from reprise.learner.checkpoints.client_state import State
    from reprise.learner.packing import Document

P = ParamSpec("P")
R = TypeVar("R")


class LearnerGroup:
    """Calls every rank at the same time with the same arguments, and answers with rank 0's answer.

    A rank that raises is reported at once, though the others may still wait for it in a collective.
    """

    def __init__(self, ranks: Sequence[Actor[LearnerActor]], settings: TrainEngineSettings) -> None:
        self._ranks = list(ranks)
        self._settings = settings
        self.failed = False  # a call did, for which no engine can be blamed

    async def start(self, policy_dir: Path, dtype: str, temperature: float, seed: int, port: int | None) -> None:
        """All ranks join each other at rank 0's node and load the policy."""
        master = await self._meeting_point(port)
        starts = (
            rank.call(LearnerActor.start, self._settings, policy_dir, dtype, temperature, i, master, seed)
            for i, rank in enumerate(self._ranks)
        )
        await asyncio.gather(*(self._of_rank(i, start) for i, start in enumerate(starts)))

    async def _meeting_point(self, port: int | None = None) -> tuple[str, int]:
        """Rank 0's address, and a port there."""
        first = self._ranks[0]
        return (
            await first.call(LearnerActor.address),
            port if port is not None else await first.call(LearnerActor.free_port),
        )

    async def connect(
        self, settings: PublishSettings, engines: Sequence[Actor[RolloutActor]], workers_per_engine: int
    ) -> None:
        """Agree with the engines on how weights will travel."""
        master = await self._meeting_point()
        await self._unhurried(LearnerActor.connect, settings, engines, workers_per_engine, master)

    async def begin_stage(self, settings: TrainEngineSettings) -> None:
        """Go on with a fresh optimiser of these settings: their `STAGE_KEYS` count, the rest is as it was started."""
        await self._call(LearnerActor.begin_stage, settings)

    async def sft_step(self, documents: Sequence[Document], lr: float) -> SftStep:
        """One supervised optimiser step; every rank gets all documents."""
        return await self._call(LearnerActor.sft_step, passed(ray.put(documents)), lr)

    async def sft_evaluate(self, documents: Mapping[str, Sequence[Document]]) -> dict[str, float]:
        """Mean negative log-likelihood by domain, nats a token; `documents` may be `passed` by reference."""
        return await self._call(LearnerActor.sft_evaluate, documents)

    async def hold_reference(self, folder: Path) -> None:
        """Hold the policy in this folder for the KL term."""
        await self._call(LearnerActor.hold_reference, folder)

    async def keep_checkpoints(self, folder: Path, settings: SaveSettings, resume: Path | None = None) -> State | None:
        """Be ready to `save`; with `resume` go on from that checkpoint: what was given to `save` for it."""
        return await self._call(LearnerActor.keep_checkpoints, folder, settings, resume)

    async def save(self, step: int, driver: object) -> None:
        """Begin a checkpoint of this step, with what the driver needs to go on from it (JSON-able)."""
        await self._call(LearnerActor.save, step, driver)

    async def saved(self) -> None:
        """Wait until the last checkpoint is complete."""
        await self._call(LearnerActor.saved)

    async def train(self, groups: Ref[list[Group]], version: int) -> Trained:
        """One batch."""
        return await self._call(LearnerActor.train, passed(groups), version)

    async def publish(self, version: int) -> PublishReport:
        """Give every engine the current weights as `version`. Each stage has its own deadline."""
        return await self._unhurried(LearnerActor.publish, version)

    async def logprobs(self, sequences: Sequence[tuple[Int32, Int32]]) -> list[Float32]:
        """Log-probabilities of responses, at the recipe's temperature."""
        return await self._call(LearnerActor.logprobs, sequences)

    async def export(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder."""
        await self._call(LearnerActor.export, folder)

    async def _call(self, method: Method[LearnerActor, P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Rank 0's answer, within the recipe's `learner.step_deadline_s`."""
        deadline_s = self._settings.step_deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                return await self._unhurried(method, *args, **kwargs)
        except TimeoutError:
            self.failed = True
            what = f"the learner did not finish `{method.__name__}` within {deadline_s:g} s"
            raise TimeoutError(what) from None

    async def _unhurried(self, method: Method[LearnerActor, P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Rank 0's answer to a call of all ranks that has deadlines of its own."""
        calls = [rank.call(method, *args, **kwargs) for rank in self._ranks]
        return (await asyncio.gather(*(self._of_rank(i, call) for i, call in enumerate(calls))))[0]

    async def _of_rank(self, rank: int, call: Ref[R]) -> R:
        try:
            return await call
        except RayError as error:
            cause = unwrapped(error)
            if isinstance(cause, PublishError):
                raise cause from None
            self.failed = True
            if isinstance(cause, UserError | RunError):  # says what it is about
                raise cause from None
            raise ActorFailure(f"learner {rank}", cause) from None
