"""Engines and verifiers taken together: requests go in, judged episodes come out, as references.

Trajectories travel from engine to verifier to buffer through the object store; the driver only passes the references.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ray.exceptions import RayError

from actors.errors import ActorFailure
from rollout.engine import EngineStats, SampleRequest
from rollout.routing import LeastLoaded

_STATS_DEADLINE_S = 60.0


class Fleet:
    """Routes requests to the least loaded engine and episodes to the verifiers of their kind, in turn.

    Args:
        engines: rollout actors.
        verifiers: verifier actors by the name that tasks use.
    """

    def __init__(self, engines: Sequence[Any], verifiers: Mapping[str, Sequence[Any]]) -> None:
        self.engines = list(engines)
        self._routing = LeastLoaded(len(engines))
        self._verifiers = {name: list(actors) for name, actors in verifiers.items()}
        self._turn = dict.fromkeys(self._verifiers, 0)

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        """A reference to the judged episodes of these requests, whose tasks share a verifier.

        Returns once they are sampled and their verifier has been asked. `ActorFailure` if sampling
        failed; what judging raises comes out of the reference.
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
        return self._verifier(requests[0].task.verifier).judge.remote(episodes)

    def _verifier(self, name: str) -> Any:
        actors = self._verifiers[name]
        self._turn[name] = (self._turn[name] + 1) % len(actors)
        return actors[self._turn[name]]

    async def stats(self) -> list[EngineStats]:
        """What each engine did since the last call."""
        async with asyncio.timeout(_STATS_DEADLINE_S):
            return await asyncio.gather(*(engine.stats.remote() for engine in self.engines))
