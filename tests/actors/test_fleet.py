"""The fleet and the rollout actor: what becomes of a task whose prompt leaves no room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reprise.actors.fleet import Fleet, FleetStats
from reprise.actors.rollout import RolloutActor
from reprise.actors.verifier_pool import PoolCounts
from reprise.core.types import Group, Task
from reprise.rollout.engine import EngineStats, Episode, SampleRequest, TaskDoesNotFit
from reprise.rollout.settings import RolloutSettings


class Engine:
    async def sample(self, request: SampleRequest) -> Episode:
        if request.task.id == "long":
            raise TaskDoesNotFit("task 'long': no room")
        return Episode(Group(request.group_id, request.task, (), 0), (), 0.0)


class Handle:
    """A rollout actor as if through Ray."""

    def __init__(self) -> None:
        self._actor = RolloutActor(RolloutSettings(), Path("."), "float32", "none", 0)
        self._actor._engine = Engine()  # type: ignore[assignment]
        self.sample = SimpleNamespace(options=lambda num_returns: SimpleNamespace(remote=self._sample))
        self.stats = SimpleNamespace(remote=self._stats)

    def _sample(self, requests: Sequence[SampleRequest]) -> tuple[Any, Any]:
        answer = asyncio.ensure_future(self._actor.sample(requests))

        async def part(index: int) -> Any:
            return (await answer)[index]

        return asyncio.ensure_future(part(0)), asyncio.ensure_future(part(1))

    async def _stats(self) -> EngineStats:
        return EngineStats((), 0, 0)


class Pool:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def judged(self, episodes: Any, answers: int, groups: int) -> Any:
        self.asked.append((answers, groups))
        return [episode.group.task.id for episode in await episodes]

    def counts(self) -> PoolCounts:
        return PoolCounts()


def requests(*ids: str) -> list[SampleRequest]:
    return [SampleRequest(Task(i, "?", "sums", "mine"), f"{i}#1", 0, 4) for i in ids]


def test_the_others_are_judged_and_why_it_was_left_out_is_told_once() -> None:
    async def run() -> tuple[Any, FleetStats, FleetStats]:
        fleet = Fleet([Handle()], {"mine": pool})  # type: ignore[dict-item]
        return await fleet.judged(requests("a", "long", "b")), await fleet.stats(), await fleet.stats()

    pool = Pool()
    judged, first, second = asyncio.run(run())
    assert judged == ["a", "b"]
    assert pool.asked == [(8, 2)]
    assert (first.left_out, second.left_out) == (["task 'long': no room"], [])


def test_where_none_is_left_no_verifier_is_asked() -> None:
    pool = Pool()

    async def run() -> None:
        await Fleet([Handle()], {"mine": pool}).judged(requests("long"))  # type: ignore[dict-item]

    with pytest.raises(TaskDoesNotFit, match="task 'long': no room"):
        asyncio.run(run())
    assert pool.asked == []


def test_a_group_that_is_only_sampled_is_shown_to_no_verifier() -> None:
    pool = Pool()

    async def run() -> Episode:
        fleet = Fleet([Handle()], {"mine": pool})  # type: ignore[dict-item]
        episode = await fleet.sampled(requests("a")[0])
        with pytest.raises(TaskDoesNotFit):
            await fleet.sampled(requests("long")[0])
        return episode

    assert asyncio.run(run()).group.id == "a#1"
    assert pool.asked == []
