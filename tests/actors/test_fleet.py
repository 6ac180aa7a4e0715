"""The fleet and the rollout actor: what becomes of a request, and of a task whose prompt leaves no room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from stand_ins import StandInEngine, local, rollout_actor

from reprise.actors.errors import ActorFailure
from reprise.actors.fleet import Fleet, FleetStats, Sampled
from reprise.core.types import Group, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.pool.verifier_pool import PoolCounts, Verified
from reprise.rollout.engine import RolloutEngine
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit


class Played:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def run(self, engine: RolloutEngine, request: SampleRequest) -> tuple[Group, Responses]:
        self.asked.append(request.task.id)
        if request.task.id == "long":
            raise TaskDoesNotFit("task 'long': no room")
        if request.task.id == "deadly":
            raise ActorDiedError
        return Group(request.group_id, request.task, (), 0), Responses(("a", "b"), (False, True), (3, 5), 0.5)


class Pool:
    def __init__(self) -> None:
        self.asked: list[Sequence[Answer]] = []

    async def verify(self, answers: Sequence[Answer]) -> Verified:
        self.asked.append(answers)
        return Verified([Verdict.scored(float(answer.text == "a")) for answer in answers], 0.0, 0.0)

    def counts(self) -> PoolCounts:
        return PoolCounts()


def request(task: str) -> SampleRequest:
    return SampleRequest(Task(task, "?", "sums", "mine"), f"{task}#1", 0, 2)


def fleet(pool: Pool, *episodes: Played) -> Fleet:
    """Of an engine for each of the episodes."""
    engines = [local(rollout_actor(StandInEngine(), episode)) for episode in episodes or [Played()]]
    return Fleet(engines, {"mine": pool, "other": Pool()})  # type: ignore[dict-item]


def test_why_a_task_was_left_out_is_reported_once_and_others_are_sampled() -> None:
    async def run() -> tuple[list[Any], FleetStats, FleetStats]:
        made = fleet(pool)
        sampled = await asyncio.gather(*(made.sample(request(i)) for i in ("a", "long", "b")), return_exceptions=True)
        return sampled, await made.stats(), await made.stats()

    pool = Pool()
    (a, left_out, b), first, second = asyncio.run(run())
    assert [a.responses.texts, b.responses.texts] == [("a", "b")] * 2
    assert isinstance(left_out, TaskDoesNotFit)
    assert str(left_out) == "task 'long': no room"
    assert (first.left_out, second.left_out) == (["task 'long': no room"], [])
    assert pool.asked == []


def test_a_group_that_is_only_sampled_is_shown_to_no_verifier() -> None:
    async def run() -> tuple[Sampled, Group]:
        sampled = await fleet(pool).sample(request("a"))
        return sampled, await sampled.group

    pool = Pool()
    sampled, group = asyncio.run(run())
    assert group.id == "a#1"
    assert (sampled.responses.tokens, sampled.responses.seconds) == ((3, 5), 0.5)
    assert pool.asked == []


def test_a_task_s_own_verifier_sees_its_responses_and_which_were_truncated() -> None:
    async def run() -> Verified:
        made = fleet(pool)
        sampled = await made.sample(asked)
        return await made.verify(asked.task, sampled.responses)

    pool, asked = Pool(), request("a")
    assert [verdict.score for verdict in asyncio.run(run()).verdicts] == [1.0, 0.0]
    assert pool.asked == [[Answer(asked.task, "a", False), Answer(asked.task, "b", True)]]


def test_an_engine_that_fails_is_named_and_whatever_becomes_of_a_request_its_engine_is_free_again() -> None:
    async def run() -> None:
        made = fleet(Pool(), *engines)
        with pytest.raises(ActorFailure, match="engine 0 has failed"):
            await made.sample(request("deadly"))
        with pytest.raises(TaskDoesNotFit):
            await made.sample(request("long"))
        await made.sample(request("a"))
        await asyncio.gather(made.sample(request("b")), made.sample(request("c")))

    engines = Played(), Played()
    asyncio.run(run())
    assert [engine.asked for engine in engines] == [["deadly", "long", "a", "b"], ["c"]]
