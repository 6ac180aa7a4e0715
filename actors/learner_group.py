"""All learner ranks as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from reprise.actors.errors import ActorFailure, unwrapped
from reprise.actors.learner import SftStep, Trained
from reprise.core.errors import RunError, UserError
from reprise.core.types import Float32, Int32
from reprise.learner.publishing.control import PublishError
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.settings import EngineSettings, SaveSettings, WarmStartSettings

if TYPE_CHECKING:
    from reprise.learner.packing import Document


class LearnerGroup:
    """Calls every rank at the same time with the same arguments, and answers with rank 0's answer.

    A rank that raises is reported at once, though the others may still wait for it in a collective.
    """

    def __init__(self, ranks: Sequence[Any], settings: EngineSettings) -> None:
        self._ranks = list(ranks)
        self._settings = settings
        self.failed = False  # a call did, for which no engine can be blamed

    async def start(self, policy_dir: Path, dtype: str, temperature: float, seed: int, port: int | None) -> None:
        """All ranks join each other at rank 0's node and load the policy."""
        address = await self._ranks[0].address.remote()
        master = (address, port or await self._ranks[0].free_port.remote())
        await asyncio.gather(
            *(
                self._of_rank(i, rank.start.remote(self._settings, policy_dir, dtype, temperature, i, master, seed))
                for i, rank in enumerate(self._ranks)
            )
        )

    async def connect(self, settings: PublishSettings, engines: Sequence[Any], workers_per_engine: int) -> None:
        """Agree with the engines on how weights will travel."""
        master = (await self._ranks[0].address.remote(), await self._ranks[0].free_port.remote())
        await self._call("connect", settings, engines, workers_per_engine, master, deadline_s=None)

    async def warm_start(
        self, settings: WarmStartSettings, traces: Sequence[tuple[Int32, Int32]], last: bool
    ) -> dict[str, float]:
        """Supervised steps; see `learner.warm_start`."""
        return await self._call("warm_start", settings, traces, last)

    async def sft_step(self, documents: Sequence[Document], lr: float) -> SftStep:
        """One supervised optimiser step; every rank gets all documents."""
        return await self._call("sft_step", ray.put(documents), lr)

    async def sft_evaluate(self, documents: Any) -> dict[str, float]:
        """Mean negative log-likelihood by domain, nats a token; `documents` is a reference."""
        return await self._call("sft_evaluate", documents)

    async def hold_reference(self, folder: Path) -> None:
        """Hold the policy in this folder for the KL term."""
        await self._call("hold_reference", folder)

    async def keep_checkpoints(self, folder: Path, settings: SaveSettings, resume: Path | None = None) -> Any:
        """Be ready to `save`; with `resume` go on from that checkpoint: what was given to `save` for it."""
        return await self._call("keep_checkpoints", folder, settings, resume)

    async def save(self, step: int, driver: Any) -> None:
        """Begin a checkpoint of this step, with what the driver needs to go on from it (JSON-able)."""
        await self._call("save", step, driver)

    async def saved(self) -> None:
        """Wait until the last checkpoint is complete."""
        await self._call("saved")

    async def train(self, groups: Any, version: int) -> Trained:
        """One batch; `groups` is a reference."""
        return await self._call("train", groups, version)

    async def publish(self, version: int) -> Any:
        """Give every engine the current weights as `version`; a `PublishReport`. Each stage has its own deadline."""
        return await self._call("publish", version, deadline_s=None)

    async def logprobs(self, sequences: Sequence[tuple[Int32, Int32]]) -> list[Float32]:
        """Log-probabilities of responses, at the recipe's temperature."""
        return await self._call("logprobs", sequences)

    async def export(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder."""
        await self._call("export", folder)

    async def _call(self, method: str, *arguments: Any, **options: float | None) -> Any:
        """Rank 0's answer, within `deadline_s` (the recipe's `learner.step_deadline_s` if not given)."""
        deadline_s = options.get("deadline_s", self._settings.step_deadline_s)
        calls = [self._of_rank(i, getattr(r, method).remote(*arguments)) for i, r in enumerate(self._ranks)]
        try:
            async with asyncio.timeout(deadline_s):
                return (await asyncio.gather(*calls))[0]
        except TimeoutError:
            self.failed = True
            raise TimeoutError(f"the learner did not finish `{method}` within {deadline_s:g} s") from None

    async def _of_rank(self, rank: int, call: Awaitable[Any]) -> Any:
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
