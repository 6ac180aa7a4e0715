"""Engine against learner where a batch has no token of its own version: a few are sampled, and nobody waits long."""

from __future__ import annotations

import asyncio
import math

import pytest
import virtual_time
from stand_ins import StandInEngine, StandInFleet, StandInLearner, single_turn

from reprise.core.types import Task
from reprise.launch.evaluation.mismatch import sampled_mismatch
from reprise.rollout.settings import RolloutSettings

TASK = Task("t", "?", "sums", "mine")


def fleet(seconds: float = 0.1) -> StandInFleet:
    """Every token has a log-probability of -1."""
    engine = StandInEngine()
    engine.seconds = seconds
    return StandInFleet(engine, single_turn(RolloutSettings()))


def mismatch(fleet: StandInFleet, task: Task = TASK) -> tuple[dict[str, float], float]:
    """The metrics, and the seconds they took. Half of the tokens are as the engine has them, the others off by 0.2."""

    async def run() -> tuple[dict[str, float], float]:
        learner = StandInLearner(off_by=[0, 0.2, 0, -0.2])
        found = await sampled_mismatch(fleet, learner, task, group_size=3, version=7)
        return found, asyncio.get_running_loop().time()

    return virtual_time.run(run())


def test_it_is_the_k3_estimate_over_tokens_that_the_engine_samples_now() -> None:
    asked = fleet()
    found, _ = mismatch(asked)
    k3 = [math.exp(0.2) - 1 - 0.2, math.exp(-0.2) - 1 + 0.2]
    assert found["policy/mismatch_kl"] == pytest.approx(sum(k3) / 4, rel=1e-5)
    assert found["policy/mismatch_abs"] == pytest.approx(0.1, rel=1e-5)
    (request,) = asked.requests
    assert (request.start_version, request.group_size, request.max_tokens) == (7, 3, 8)
    assert request.group_id == "t#mismatch-7"  # noise of its own at each version


def test_an_engine_that_is_full_is_not_waited_for() -> None:
    found, seconds = mismatch(fleet(seconds=60))
    assert found == {}
    assert seconds == pytest.approx(2)


def test_a_task_that_does_not_fit_has_no_metrics() -> None:
    assert mismatch(fleet(), Task("t", "?" * 300, "sums", "mine"))[0] == {}
