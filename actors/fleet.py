"""Engines and verifiers taken together: requests go in, judged episodes come out, as references.

Trajectories travel from engine to verifier to buffer through the object store; the driver only passes the references.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError

from actors.errors import ActorFailure
from actors.verifier_pool import PoolCounts, VerifierPool
from rollout.engine import EngineStats, SampleRequest
from rollout.routing import LeastLoaded

_STATS_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class FleetStats:
    """What each engine did, and what happened to all verifier actors together."""

    engines: Sequence[EngineStats]
    verifiers: PoolCounts


class Fleet:
    """Routes requests to the least loaded engine and episodes to the pool of their verifier.

    Args:
        engines: rollout actors.
        verifiers: pools of verifier actors by the name that tasks use.
    """

    def __init__(self, engines: Sequence[Any], verifiers: Mapping[str, VerifierPool]) -> None:
        self.engines = list(engines)
        self._routing = LeastLoaded(len(engines))
        self._verifiers = dict(verifiers)

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        """A reference to the judged episodes of these requests, whose tasks share a verifier.

        Returns once they are sampled and judged, however long the verifiers' queue is. `ActorFailure` if sampling or
        judging failed for good.
        """
        responses = sum(request.group_size for request in requests)
        engine = self._routing.assign(responses)
        try:
            episodes, sampled = self.engines[engine].sample.options(num_returns=2).remote(list(requests))
            await sampled
        except RayError as error:
            raise ActorFailure(f"engine {engine}", error) from error
        finally:
            self._routing.done(engine, responses)
        return await self._verifiers[requests[0].task.verifier].judged(episodes, responses, groups=len(requests))

    async def stats(self) -> FleetStats:
        """What engines and verifiers did since the last call."""
        async with asyncio.timeout(_STATS_DEADLINE_S):
            engines = await asyncio.gather(*(engine.stats.remote() for engine in self.engines))
        return FleetStats(engines, sum((pool.counts() for pool in self._verifiers.values()), PoolCounts()))
