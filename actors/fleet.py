"""Engines and verifiers taken together: requests go in, judged episodes come out, as references.

Trajectories travel from engine to verifier to buffer through the object store; the driver only passes the references.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError

from reprise.actors.errors import ActorFailure
from reprise.actors.verifier_pool import PoolCounts, VerifierPool
from reprise.rollout.engine import EngineStats, Episode, SampleRequest, TaskDoesNotFit
from reprise.rollout.routing import LeastLoaded

_STATS_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class FleetStats:
    """What each engine did, what happened to all verifier actors together, and why tasks were left out."""

    engines: Sequence[EngineStats]
    verifiers: PoolCounts
    left_out: Sequence[str] = ()


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
        self._left_out: list[str] = []

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        """A reference to the judged episodes of these requests, which share a verifier and a group size.

        Returns once they are sampled and judged, however long the queues are. A task whose prompt leaves no room is
        left out; `TaskDoesNotFit` if that leaves none. `ActorFailure` if sampling or judging failed for good.
        """
        episodes, groups = await self._sample(requests)
        answers = groups * requests[0].group_size
        return await self._verifiers[requests[0].task.verifier].judged(episodes, answers, groups=groups)

    async def sampled(self, request: SampleRequest) -> Episode:
        """The group of one request, which no verifier sees. `TaskDoesNotFit` and `ActorFailure` as of `judged`."""
        episodes, _ = await self._sample([request])
        (episode,) = await episodes
        sampled: Episode = episode
        return sampled

    async def _sample(self, requests: Sequence[SampleRequest]) -> tuple[Any, int]:
        """A reference to the episodes of the tasks that fit, and how many they are, once they are sampled."""
        responses = sum(request.group_size for request in requests)
        engine = self._routing.assign(responses)
        try:
            episodes, left_out = self.engines[engine].sample.options(num_returns=2).remote(list(requests))
            left_out = await left_out
        except RayError as error:
            raise ActorFailure(f"engine {engine}", error) from error
        finally:
            self._routing.done(engine, responses)
        self._left_out += left_out
        groups = len(requests) - len(left_out)
        if not groups:
            raise TaskDoesNotFit("; ".join(left_out))
        return episodes, groups

    async def stats(self) -> FleetStats:
        """What engines and verifiers did since the last call."""
        async with asyncio.timeout(_STATS_DEADLINE_S):
            engines = await asyncio.gather(*(engine.stats.remote() for engine in self.engines))
        left_out, self._left_out = self._left_out, []
        return FleetStats(engines, sum((pool.counts() for pool in self._verifiers.values()), PoolCounts()), left_out)
