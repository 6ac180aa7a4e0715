"""Held-out pass@1 when verifiers fail; engines are stood in for."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import virtual_time

from reprise.core.errors import RunError
from reprise.core.types import FinishReason, Group, Task, Trajectory, Verdict
from reprise.launch.evaluation.evaluate import Evaluated, evaluate
from reprise.launch.recipe.settings import EvalSettings
from reprise.rollout.engine import Episode, SampleRequest, TaskDoesNotFit

RIGHT, RAISED = Verdict.scored(1.0), Verdict.infra_error("infra", "verifier 'mine' raised KeyError: 'x'")
TASKS = {"sums": [Task(str(n), "?", "sums", "mine") for n in range(10)]}


class Fleet:
    """Gives the n-th request of all the n-th verdict."""

    def __init__(self, verdicts: Iterable[Verdict]) -> None:
        self._verdicts = iter(verdicts)

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        async def episodes() -> list[Episode]:
            return [self._episode(request) for request in requests]

        return episodes()

    def _episode(self, request: SampleRequest) -> Episode:
        ids, floats = np.ones(1, np.int32), np.zeros(1, np.float32)
        one = Trajectory(request.task.id, "g", ids, ids, floats, ids, np.ones(1, bool), FinishReason.STOP)
        judged = tuple(one.judged(next(self._verdicts)) for _ in range(request.group_size))
        return Episode(Group("g", request.task, judged, 0), ("text",), generate_seconds=0.0)


def evaluated(verdicts: Sequence[Verdict], **more: Any) -> Evaluated:
    return asyncio.run(evaluate(Fleet(verdicts), TASKS, samples=1, at_once=8, version=0, **more))  # type: ignore[arg-type]


class BusyFleet(Fleet):
    """Each message takes a second. `most` responses were under way together; `begun` has the tasks in order."""

    def __init__(self) -> None:
        super().__init__(itertools.repeat(RIGHT))
        self.under_way = self.most = 0
        self.begun: list[str] = []

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        self.begun += [request.task.id for request in requests]
        responses = sum(request.group_size for request in requests)
        self.under_way += responses
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1)
        self.under_way -= responses
        return await super().judged(requests)


@pytest.mark.parametrize(
    ("samples", "at_once", "most"),
    [(1, 512, 512), (4, 512, 512), (16, 8, 16), (3, 100, 96)],  # one task at least; whole messages of whole tasks
)
def test_responses_under_way_are_bounded_and_tasks_begin_in_order(samples: int, at_once: int, most: int) -> None:
    tasks = [Task(f"{n:04}", "?", "sums", "mine") for n in range(1000)]
    fleet: Any = BusyFleet()
    virtual_time.run(evaluate(fleet, {"sums": tasks}, samples=samples, at_once=at_once, version=0))
    assert fleet.most == most
    assert fleet.begun == [task.id for task in tasks]


def test_a_tasks_noise_is_the_same_in_every_evaluation_and_no_other_tasks() -> None:
    asked: list[str] = []

    class Asked(Fleet):
        async def judged(self, requests: Sequence[SampleRequest]) -> Any:
            asked.extend(request.group_id for request in requests)
            return await super().judged(requests)

    for version in (0, 7):
        fleet: Any = Asked([RIGHT] * 10)
        asyncio.run(evaluate(fleet, TASKS, samples=1, at_once=8, version=version))
    assert asked[:10] == asked[10:]
    assert len(set(asked)) == 10


def test_the_curve_is_over_the_tasks_that_every_evaluation_has() -> None:
    right, wrong = RIGHT, Verdict.scored(0.0)
    before = evaluated([right] * 4 + [wrong] * 6, curve=4)
    assert before.curve is not None
    assert (before.results.pass_at_1["sums"], before.curve.pass_at_1["sums"]) == (0.4, 1.0)
    assert before.curve.domains["sums"].tasks == 4
    assert evaluated([RAISED] * 4 + [right] * 6, curve=4).curve is None
    whole = evaluated([right] * 10)
    assert whole.curve == whole.results


@pytest.mark.parametrize(
    ("every", "steps", "during", "final", "on_curve"),
    [(20, 60, 100, 300, 100), (20, 20, 100, 300, 300), (0, 60, 100, 300, 300), (20, 60, 300, 100, 100)],
)
def test_a_curve_has_the_tasks_of_its_smallest_evaluation(
    every: int, steps: int, during: int, final: int, on_curve: int
) -> None:
    settings = EvalSettings(every=every, tasks_per_domain=during, final_tasks_per_domain=final)
    assert settings.on_curve(steps) == on_curve


def test_tasks_whose_prompts_leave_no_room_are_left_out() -> None:
    class TooSmall(Fleet):
        async def judged(self, requests: Sequence[SampleRequest]) -> Any:
            if requests[0].task.id in self.too_long:
                raise TaskDoesNotFit("no room")
            return await super().judged(requests)

    fleet: Any = TooSmall([RIGHT] * 10)
    fleet.too_long = {"3", "4"}
    result = asyncio.run(evaluate(fleet, TASKS, samples=1, at_once=8, version=0))
    assert (result.results.domains["sums"].tasks, result.unjudged) == (8, {"sums": (2, 10)})
    fleet.too_long = {task.id for task in TASKS["sums"]}
    with pytest.raises(RunError, match="none of 10 held-out responses could be judged: no prompt leaves room"):
        asyncio.run(evaluate(fleet, TASKS, samples=1, at_once=8, version=0))


def test_if_nothing_could_be_judged_the_cause_is_named() -> None:
    with pytest.raises(RunError, match="none of 10 held-out responses could be judged: verifier 'mine' raised KeyErr"):
        evaluated([RAISED] * 10)


def test_what_could_not_be_judged_is_left_out_and_counted() -> None:
    result = evaluated([RIGHT] * 7 + [RAISED] * 3)
    assert result.unjudged == {"sums": (3, 10)}
    assert (result.results.domains["sums"].tasks, result.results.domains["sums"].asked) == (7, 10)
    assert evaluated([RIGHT] * 10).unjudged == {}


def test_an_unreadable_answer_that_scores_0_is_still_no_parseable_one() -> None:
    unread = Verdict.scored(0.0, "no_answer", unparseable=True)
    assert evaluated([RIGHT] * 6 + [unread] * 4).results.domains["sums"].parseable == 0.6


def test_the_first_failure_ends_an_evaluation_and_the_others_are_given_up_quietly() -> None:
    class Failing(BusyFleet):
        async def judged(self, requests: Sequence[SampleRequest]) -> Any:
            if requests[0].task.id in ("3", "4"):
                raise RunError(f"engine {requests[0].task.id} has failed")
            return await super().judged(requests)

    told: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        fleet: Any = Failing()
        with pytest.raises(RunError, match="engine 3 has failed"):
            await evaluate(fleet, TASKS, samples=1, at_once=8, version=0)
        gc.collect()
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(run())
    assert not told
