"""The rollout actor: one engine."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reprise.actors.node import check_sees_policy
from reprise.core.types import Float32
from reprise.rollout.engine import EngineStats, Episode, RolloutEngine, SampleRequest, TaskDoesNotFit
from reprise.rollout.entry_points import check_entry_points
from reprise.rollout.settings import RolloutSettings

_HEALTH_PERIOD_S = 1.0


class RolloutActor:
    """Hosts a `VllmEngine`. See `rollout.engine.RolloutEngine` for what the calls mean."""

    def __init__(self, settings: RolloutSettings, policy_dir: Path, dtype: Any, weight_backend: str, seed: int) -> None:
        self._arguments = (settings, policy_dir, dtype, weight_backend, seed)

    async def start(self) -> None:
        """Load the engine; takes tens of seconds, so it is not done while the actor is being placed."""
        settings, policy_dir, dtype, weight_backend, seed = self._arguments
        check_sees_policy(policy_dir)
        check_entry_points()
        try:
            from reprise.rollout.vllm_engine import VllmEngine

            self._engine: RolloutEngine = VllmEngine(
                settings, policy_dir, dtype=dtype, weight_backend=weight_backend, seed=seed
            )
        except Exception:
            traceback.print_exc()  # into the actor's log
            raise

    async def alive(self) -> None:
        """Never returns once started; raises when the engine's own process is gone, which the actor would survive."""
        while True:
            await asyncio.sleep(_HEALTH_PERIOD_S)
            self._engine.check_health()

    async def sample(self, requests: Sequence[SampleRequest]) -> tuple[list[Episode], list[str]]:
        """The episodes, and apart from them what tasks were left out, and why: a caller can wait for that and fetch
        nothing."""
        sampled = await asyncio.gather(*map(self._sample, requests))
        return [e for e in sampled if not isinstance(e, str)], [e for e in sampled if isinstance(e, str)]

    async def _sample(self, request: SampleRequest) -> Episode | str:
        try:
            return await self._engine.sample(request)
        except TaskDoesNotFit as error:
            return str(error)

    async def prompt_logprobs(self, token_ids: Sequence[int]) -> Float32:
        return await self._engine.prompt_logprobs(token_ids)

    async def init_weight_transfer(self, init_info: dict[str, Any]) -> None:
        await self._engine.init_weight_transfer(init_info)

    async def pause(self) -> None:
        await self._engine.pause()

    async def start_weight_update(self) -> None:
        await self._engine.start_weight_update()

    async def update_weights(self, update_info: dict[str, Any]) -> None:
        await self._engine.update_weights(update_info)

    async def finish_weight_update(self, version: int) -> None:
        await self._engine.finish_weight_update(version)

    async def resume(self) -> None:
        await self._engine.resume()

    async def stats(self) -> EngineStats:
        return self._engine.stats()

    async def close(self) -> None:
        """Stop the engine's processes."""
        if hasattr(self, "_engine"):
            await self._engine.close()
