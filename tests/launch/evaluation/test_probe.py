"""The start-up probe: all groups at once, short ones, and no disagreement passes."""

from __future__ import annotations

import asyncio

import pytest
import virtual_time
from stand_ins import StandInEngine, StandInFleet, StandInLearner, single_turn

from reprise.core.errors import RunError
from reprise.core.types import Task
from reprise.launch.evaluation.probe import MismatchError, probe
from reprise.rollout.settings import RolloutSettings, VllmEngineSettings

TASKS = [Task(str(n), "?", "sums", "mine") for n in range(8)]
LONG = Task("long", "?" * 600, "sums", "mine")
SETTINGS = RolloutSettings(max_response_tokens=300, engine=VllmEngineSettings(max_model_len=400))


def fleet() -> StandInFleet:
    """Each group takes a minute; every token has a log-probability of -1."""
    engine = StandInEngine()
    engine.seconds = 60
    return StandInFleet(engine, single_turn(SETTINGS))


def probed(fleet: StandInFleet, off_by: float, tasks: list[Task] = TASKS) -> tuple[float, float]:
    """The mismatch, and the seconds it took to see it."""

    async def run() -> tuple[float, float]:
        mismatch = await probe(fleet, StandInLearner(off_by), tasks, group_size=4, version=0, limit=1e-3)
        return mismatch, asyncio.get_running_loop().time()

    return virtual_time.run(run())


def test_all_groups_are_sampled_at_once_and_none_is_long() -> None:
    asked = fleet()
    mismatch, seconds = probed(asked, off_by=0.0005)
    assert mismatch == pytest.approx(0.0005, rel=1e-3)
    assert seconds == 60
    assert [request.max_tokens for request in asked.requests] == [256] * 8


@pytest.mark.parametrize("off_by", [0.002, float("nan")])
def test_a_disagreement_ends_the_run(off_by: float) -> None:
    with pytest.raises(MismatchError, match="disagree by"):
        probed(fleet(), off_by)


def test_a_prompt_that_does_not_fit_is_left_out() -> None:
    assert probed(fleet(), 0, [*TASKS, LONG])[0] == 0
    with pytest.raises(RunError, match="leave no tokens for a response"):
        probed(fleet(), 0, [LONG])
