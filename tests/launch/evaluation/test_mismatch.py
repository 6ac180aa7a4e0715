"""Engine against learner where a batch has no token of its own version: a few are sampled, and nobody waits long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import virtual_time

from reprise.actors.fleet import Sampled
from reprise.core.types import FinishReason, Group, Task, Trajectory
from reprise.launch.evaluation.mismatch import sampled_mismatch
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit

TASK = Task("t", "?", "sums", "mine")


class Fleet:
    """Every token has a log-probability of -1."""

    def __init__(self, seconds: float = 0.1, fits: bool = True) -> None:
        self.requests: list[SampleRequest] = []
        self._seconds, self._fits = seconds, fits

    async def sample(self, request: SampleRequest) -> Sampled:
        self.requests.append(request)
        if not self._fits:
            raise TaskDoesNotFit("no room")
        await asyncio.sleep(self._seconds)
        ids, minus_one = np.ones(4, np.int32), np.full(4, -1, np.float32)
        one = Trajectory("t", "g", ids, ids, minus_one, ids, np.ones(4, bool), FinishReason.LENGTH)
        fetched = asyncio.get_running_loop().create_future()
        fetched.set_result(Group("g", TASK, (one,) * request.group_size, 0))
        of_each = request.group_size
        return Sampled(fetched, Responses(("",) * of_each, (True,) * of_each, (4,) * of_each, self._seconds))


class Learner:
    """Half of the tokens as the engine has them, the others off by 0.2."""

    async def logprobs(self, documents: Sequence[Any]) -> list[Any]:
        return [np.array([-1, -0.8, -1, -1.2], np.float32) for _ in documents]


def mismatch(fleet: Fleet) -> tuple[dict[str, float], float]:
    """The metrics, and the seconds they took."""

    async def run() -> tuple[dict[str, float], float]:
        found = await sampled_mismatch(fleet, Learner(), TASK, group_size=3, version=7)  # type: ignore[arg-type]
        return found, asyncio.get_running_loop().time()

    return virtual_time.run(run())


def test_it_is_the_k3_estimate_over_tokens_that_the_engine_samples_now() -> None:
    fleet = Fleet()
    found, _ = mismatch(fleet)
    k3 = [math.exp(0.2) - 1 - 0.2, math.exp(-0.2) - 1 + 0.2]
    assert found["policy/mismatch_kl"] == pytest.approx(sum(k3) / 4, rel=1e-5)
    assert found["policy/mismatch_abs"] == pytest.approx(0.1, rel=1e-5)
    (request,) = fleet.requests
    assert (request.start_version, request.group_size, request.max_tokens) == (7, 3, 8)
    assert request.group_id == "t#mismatch-7"  # noise of its own at each version


def test_an_engine_that_is_full_is_not_waited_for() -> None:
    found, seconds = mismatch(Fleet(seconds=60))
    assert found == {}
    assert seconds == pytest.approx(2)


def test_a_task_that_does_not_fit_has_no_metrics() -> None:
    assert mismatch(Fleet(fits=False))[0] == {}
