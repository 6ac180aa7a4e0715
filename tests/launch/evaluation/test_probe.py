"""The start-up probe: all groups at once, short ones, and no disagreement passes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import virtual_time

from reprise.actors.fleet import Sampled
from reprise.core.errors import RunError
from reprise.core.types import FinishReason, Group, Task, Trajectory
from reprise.launch.evaluation.probe import MismatchError, probe
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit

TASKS = [Task(str(n), "?", "sums", "mine") for n in range(8)]


class Fleet:
    """Each group takes a minute; every token has a log-probability of -1. There are no verifiers."""

    def __init__(self, too_long: Sequence[str] = ()) -> None:
        self.requests: list[SampleRequest] = []
        self._too_long = too_long

    async def sample(self, request: SampleRequest) -> Sampled:
        self.requests.append(request)
        if request.task.id in self._too_long:
            raise TaskDoesNotFit("no room")
        await asyncio.sleep(60)
        ids, minus_one = np.ones(4, np.int32), np.full(4, -1, np.float32)
        one = Trajectory("t", "g", ids, ids, minus_one, ids, np.ones(4, bool), FinishReason.STOP)
        fetched = asyncio.get_running_loop().create_future()
        fetched.set_result(Group("g", request.task, (one,) * request.group_size, 0))
        of_each = request.group_size
        return Sampled(fetched, Responses(("",) * of_each, (False,) * of_each, (4,) * of_each, 60.0))


class Learner:
    def __init__(self, off_by: float) -> None:
        self._off_by = off_by

    async def logprobs(self, documents: Sequence[Any]) -> list[Any]:
        return [np.full(len(response), -1 + self._off_by, np.float32) for _, response in documents]


def probed(fleet: Fleet, off_by: float) -> tuple[float, float]:
    """The mismatch, and the seconds it took to see it."""

    async def run() -> tuple[float, float]:
        mismatch = await probe(fleet, Learner(off_by), TASKS, group_size=4, version=0, limit=1e-3)  # type: ignore[arg-type]
        return mismatch, asyncio.get_running_loop().time()

    return virtual_time.run(run())


def test_all_groups_are_sampled_at_once_and_none_is_long() -> None:
    fleet = Fleet()
    mismatch, seconds = probed(fleet, off_by=0.0005)
    assert mismatch == pytest.approx(0.0005, rel=1e-3)
    assert seconds == 60
    assert [request.max_tokens for request in fleet.requests] == [256] * 8


@pytest.mark.parametrize("off_by", [0.002, float("nan")])
def test_a_disagreement_ends_the_run(off_by: float) -> None:
    with pytest.raises(MismatchError, match="disagree by"):
        probed(Fleet(), off_by)


def test_a_prompt_that_does_not_fit_is_left_out() -> None:
    assert probed(Fleet(too_long=["3"]), off_by=0)[0] == 0
    with pytest.raises(RunError, match="no room"):
        probed(Fleet(too_long=[task.id for task in TASKS]), off_by=0)
