"""Held-out pass@1 when verifiers fail; engines are stood in for."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import virtual_time

from reprise.actors.fleet import Sampled
from reprise.core.errors import RunError
from reprise.core.types import Task, Verdict
from reprise.launch.evaluation.evaluate import evaluate
from reprise.launch.recipe.settings import EvalSettings
from reprise.launch.reporting.evaluated import Evaluated
from reprise.rewards.pool.verifier_pool import Verified
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit

RIGHT, RAISED = Verdict.scored(1.0), Verdict.infra_error("infra", "verifier 'mine' raised KeyError: 'x'")
TASKS = {"sums": [Task(str(n), "?", "sums", "mine") for n in range(10)]}


class Fleet:
    """Gives the n-th response of all the n-th verdict. Response i of a group has 1 + i tokens; the odd ones are cut."""

    def __init__(self, verdicts: Iterable[Verdict]) -> None:
        self._verdicts = iter(verdicts)

    async def sample(self, request: SampleRequest) -> Sampled:
        nothing: Any = None
        numbers = range(request.group_size)
        texts = tuple(f"{request.task.id}, response {i}" for i in numbers)
        return Sampled(
            nothing, Responses(texts, tuple(i % 2 == 1 for i in numbers), tuple(1 + i for i in numbers), 0.0)
        )

    async def verify(self, task: Task, responses: Responses) -> Verified:
        assert all(text.startswith(f"{task.id}, ") for text in responses.texts)
        return Verified([next(self._verdicts) for _ in responses.texts], 0.0, 0.0)


def evaluated(verdicts: Sequence[Verdict], **more: Any) -> Evaluated:
    return asyncio.run(evaluate(Fleet(verdicts), TASKS, samples=1, at_once=8, version=0, **more))  # type: ignore[arg-type]


class BusyFleet(Fleet):
    """Each stage takes a second. `most` responses were under way together; `begun` has the tasks in order."""

    def __init__(self) -> None:
        super().__init__(itertools.repeat(RIGHT))
        self.under_way = self.most = 0
        self.begun: list[str] = []

    async def sample(self, request: SampleRequest) -> Sampled:
        self.begun.append(request.task.id)
        self.under_way += request.group_size
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1)
        return await super().sample(request)

    async def verify(self, task: Task, responses: Responses) -> Verified:
        await asyncio.sleep(1)
        self.under_way -= len(responses.texts)
        return await super().verify(task, responses)


@pytest.mark.parametrize(
    ("samples", "at_once", "most"),
    [(1, 512, 512), (4, 512, 512), (16, 8, 16), (3, 100, 99)],  # one task at least, and whole ones
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
        async def sample(self, request: SampleRequest) -> Sampled:
            asked.append(request.group_id)
            return await super().sample(request)

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


def test_tasks_whose_prompts_do_not_fit_are_left_out() -> None:
    class TooSmall(Fleet):
        too_long = ("3", "4")

        async def sample(self, request: SampleRequest) -> Sampled:
            if request.task.id in self.too_long:
                raise TaskDoesNotFit("no room")
            return await super().sample(request)

    fleet: Any = TooSmall([RIGHT] * 10)
    result = asyncio.run(evaluate(fleet, TASKS, samples=1, at_once=8, version=0))
    assert (result.results.domains["sums"].tasks, result.unverified) == (8, {"sums": (2, 10)})
    fleet.too_long = {task.id for task in TASKS["sums"]}
    with pytest.raises(
        RunError, match="none of 10 held-out responses could be verified: no prompt leaves tokens for a response"
    ):
        asyncio.run(evaluate(fleet, TASKS, samples=1, at_once=8, version=0))


def test_if_nothing_could_be_verified_the_cause_is_named() -> None:
    with pytest.raises(
        RunError, match="none of 10 held-out responses could be verified: verifier 'mine' raised KeyErr"
    ):
        evaluated([RAISED] * 10)


def test_what_could_not_be_verified_is_left_out_and_counted() -> None:
    result = evaluated([RIGHT] * 7 + [RAISED] * 3)
    assert result.unverified == {"sums": (3, 10)}
    assert (result.results.domains["sums"].tasks, result.results.domains["sums"].asked) == (7, 10)
    assert evaluated([RIGHT] * 10).unverified == {}


def test_a_verdict_stays_with_its_response_where_another_is_left_out() -> None:
    fleet: Any = Fleet([RIGHT, RAISED, RIGHT] * 10)
    sums = asyncio.run(evaluate(fleet, TASKS, samples=3, at_once=8, version=0)).results.domains["sums"]
    assert (sums.samples, sums.truncated, sums.tokens_mean) == (20, 0, 2), "the second, cut off at 2 tokens, is not in"


def test_the_first_response_of_the_first_tasks_of_a_domain_is_shown_with_its_verdict() -> None:
    shown = evaluated([RIGHT, RAISED] + [RIGHT] * 8, shown=2, when="after").samples
    assert [(each.when, each.task_id, each.response, each.status, each.score) for each in shown] == [
        ("after", "0", "0, response 0", "scored", 1.0),
        ("after", "1", "1, response 0", "infra_error", None),
    ]


def test_progress_is_counted_in_responses() -> None:
    done: list[int] = []
    fleet: Any = Fleet(itertools.repeat(RIGHT))
    asyncio.run(evaluate(fleet, TASKS, samples=3, at_once=8, version=0, on_progress=done.append))
    assert done == list(range(3, 31, 3))


def test_an_unreadable_answer_that_scores_0_is_still_no_parseable_one() -> None:
    unread = Verdict.scored(0.0, "no_answer", unparseable=True)
    assert evaluated([RIGHT] * 6 + [unread] * 4).results.domains["sums"].parseable == 0.6


def test_the_first_failure_ends_an_evaluation_and_the_others_are_given_up_quietly() -> None:
    class Failing(BusyFleet):
        async def sample(self, request: SampleRequest) -> Sampled:
            if request.task.id in ("3", "4"):
                raise RunError(f"engine {request.task.id} has failed")
            return await super().sample(request)

    unhandled: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        fleet: Any = Failing()
        with pytest.raises(RunError, match="engine 3 has failed"):
            await evaluate(fleet, TASKS, samples=1, at_once=8, version=0)
        gc.collect()
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(run())
    assert not unhandled
