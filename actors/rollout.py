"""The rollout actor: one engine, and the episodes that are played with it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from pathlib import Path

from reprise.actors.node import check_sees_policy
from reprise.actors.remote import in_two
from reprise.core.transport import Message
from reprise.core.types import Float32, Group
from reprise.rollout.engine import Dtype, EngineStats, engine_class
from reprise.rollout.entry_points import check_entry_points
from reprise.rollout.episodes.base import Episode, Responses, SampleRequest
from reprise.rollout.episodes.single_turn import SingleTurn
from reprise.rollout.settings import RolloutSettings

_HEALTH_PERIOD_S = 1.0


class RolloutActor:
    """Hosts an engine. See `rollout.engine.RolloutEngine` and `rollout.episodes.base` for what the calls mean."""

    def __init__(
        self,
        settings: RolloutSettings,
        policy_dir: Path,
        dtype: Dtype,
        transport: str,
        seed: int,
    ) -> None:
        self._arguments = (settings, policy_dir, dtype, transport, seed)

    async def start(self) -> None:
        """Load the engine; takes tens of seconds, so it is not done while the actor is being placed."""
        settings, policy_dir, dtype, transport, seed = self._arguments
        check_sees_policy(policy_dir)
        if settings.engine.use == "vllm":
            check_entry_points()
        try:
            engine = engine_class(settings.engine.use)
            self._engine = engine(settings, policy_dir, dtype=dtype, transport=transport, seed=seed)
            self._episode: Episode = SingleTurn(settings, policy_dir, seed)
        except Exception:
            traceback.print_exc()  # into the actor's log
            raise

    async def alive(self) -> None:
        """Never returns once started; raises when the engine's own process is gone, which the actor would survive."""
        while True:
            await asyncio.sleep(_HEALTH_PERIOD_S)
            self._engine.check_health()

    @in_two
    async def sample(self, request: SampleRequest) -> tuple[Group, Responses]:
        """In two parts: the group for the buffer, the rest for the driver."""
        return await self._episode.run(self._engine, request)

    async def score(self, token_ids: Sequence[int]) -> Float32:
        return await self._engine.score(token_ids)

    async def init_weights(self, message: Message) -> None:
        await self._engine.init_weights(message)

    async def begin_weights(self) -> None:
        await self._engine.begin_weights()

    async def write_weights(self, message: Message) -> None:
        await self._engine.write_weights(message)

    async def finish_weights(self, version: int) -> None:
        await self._engine.finish_weights(version)

    async def stats(self) -> EngineStats:
        return self._engine.stats()

    async def close(self) -> None:
        """Stop the engine's processes."""
        if hasattr(self, "_engine"):
            await self._engine.close()
