"""Engines and verifiers taken together: requests go in, sampled groups and verdicts come out.

A group's arrays stay in the object store on their way from engine to buffer; the driver sees texts and verdicts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray.exceptions import RayError

from reprise.actors.errors import ActorFailure, unwrapped
from reprise.actors.remote import Actor, Ref
from reprise.actors.rollout import RolloutActor
from reprise.core.types import Group, Task
from reprise.rewards.pool.verifier_pool import PoolCounts, Verified, VerifierPool
from reprise.rollout.engine import EngineStats
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit
from reprise.rollout.routing import LeastLoaded

_STATS_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class FleetStats:
    """What each engine did, what happened to all verifier actors together, and why tasks were left out."""

    engines: Sequence[EngineStats]
    verifiers: PoolCounts
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """A group without verdicts: a reference to it, and its responses."""

    group: Ref[Group]
    responses: Responses


class Fleet:
    """Routes requests to the least loaded engine, and answers to the pool of their verifier.

    Args:
        engines: rollout actors.
        verifiers: pools of verifier actors by the name that tasks use.
    """

    def __init__(self, engines: Sequence[Actor[RolloutActor]], verifiers: Mapping[str, VerifierPool]) -> None:
        self.engines = list(engines)
        self._routing = LeastLoaded(len(engines))
        self._verifiers = dict(verifiers)
        self._left_out: list[str] = []

    async def sample(self, request: SampleRequest) -> Sampled:
        """A group, once it is sampled. A task whose prompt leaves no room is left out: `TaskDoesNotFit`.

        `ActorFailure` if sampling failed for good.
        """
        engine = self._routing.assign(request.group_size)
        try:
            group, responses = self.engines[engine].call_in_two(RolloutActor.sample, request)
            return Sampled(group, await responses)
        except TaskDoesNotFit as error:
            self._left_out.append(str(unwrapped(error)))
            raise unwrapped(error) from None
        except RayError as error:
            raise ActorFailure(f"engine {engine}", error) from error
        finally:
            self._routing.done(engine, request.group_size)

    async def verify(self, task: Task, responses: Responses) -> Verified:
        """A verdict for each response, however long the queue is. Raises what ends the run."""
        return await self._verifiers[task.verifier].verify(responses.answers(task))

    async def stats(self) -> FleetStats:
        """What engines and verifiers did since the last call."""
        async with asyncio.timeout(_STATS_DEADLINE_S):
            engines = await asyncio.gather(*(engine.call(RolloutActor.stats) for engine in self.engines))
        left_out, self._left_out = self._left_out, []
        return FleetStats(engines, sum((pool.counts() for pool in self._verifiers.values()), PoolCounts()), left_out)
