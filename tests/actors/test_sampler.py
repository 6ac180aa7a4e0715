"""The sampler with the real admission and buffer, on one event loop; engines and Ray are stood in for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from small_groups import settings

from reprise.actors.buffer import Added, BufferActor
from reprise.actors.sampler import Sampler
from reprise.core.types import FinishReason, Group, Task, Trajectory, Verdict
from reprise.rollout.admission import Admission
from reprise.rollout.engine import Episode, SampleRequest, TaskDoesNotFit

SETTINGS = settings(max_uses=1, batch_groups=2, fresh_fraction=1.0, take_deadline_s=5)


def episode(request: SampleRequest, scores: Sequence[float] = (0.0, 1.0)) -> Episode:
    one = np.ones(1, dtype=np.int32)
    version = np.full(1, request.start_version, dtype=np.int32)
    trajectories = tuple(
        Trajectory(
            task_id=request.task.id,
            group_id=request.group_id,
            prompt_ids=one,
            response_ids=one,
            behaviour_logprobs=np.zeros(1, dtype=np.float32),
            versions=version,
            trainable=np.ones(1, dtype=np.bool_),
            finish_reason=FinishReason.STOP,
            verdict=Verdict.scored(score),
        )
        for score in scores
    )
    return Episode(Group(request.group_id, request.task, trajectories, request.start_version), ("a", "b"), 0.1)


class Remote:
    """Calls a coroutine function as if through Ray: the work is done at once, the answer may come later."""

    def __init__(self, method: Callable[..., Awaitable[Any]], delay: Callable[..., Awaitable[None]] | None = None):
        self._method, self._delay, self._returns = method, delay, 1

    def options(self, num_returns: int) -> Remote:
        self._returns = num_returns
        return self

    def remote(self, *arguments: Any) -> Any:
        answer = asyncio.ensure_future(self._call(*arguments))
        if self._returns == 1:
            return answer
        return tuple(asyncio.ensure_future(self._part(answer, i)) for i in range(self._returns))

    async def _call(self, *arguments: Any) -> Any:
        result = await self._method(*arguments)
        if self._delay is not None:
            await self._delay(*arguments)
        return result

    @staticmethod
    async def _part(answer: asyncio.Future[Any], index: int) -> Any:
        return (await answer)[index]


class Buffer:
    def __init__(self, delay: Callable[..., Awaitable[None]] | None = None) -> None:
        actor = BufferActor(SETTINGS, seed=0, uses_per_take=1)
        self.add, self.take = Remote(actor.add, delay), Remote(actor.take)


class Fleet:
    """Samples a group when a test says so."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Future[Any]] = {}
        self.requests: list[SampleRequest] = []

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        (request,) = requests
        self.requests.append(request)
        gate = self.gates[request.task.id] = asyncio.get_running_loop().create_future()
        scores = await gate
        return [episode(request, scores)]

    async def finish(self, task_id: str, scores: Sequence[float] = (0.0, 1.0)) -> None:
        while task_id not in self.gates:
            await asyncio.sleep(0)
        self.gates[task_id].set_result(scores)
        await asyncio.sleep(0.01)


def tasks() -> Iterator[Task]:
    number = 0
    while True:
        yield Task(f"t{number}", "?", "d", "exact")
        number += 1


def make(
    fleet: Fleet,
    buffer: Buffer,
    staleness: int,
    deadline_s: float = 5,
    concurrent: int = 8,
    groups_before: int = 0,
    on_added: Callable[[Added], None] | None = None,
) -> tuple[Sampler, list, list]:
    added: list[Added] = []
    failures: list[BaseException] = []
    sampler = Sampler(
        fleet,  # type: ignore[arg-type]
        buffer,
        Admission(staleness, SETTINGS.fresh_per_batch, concurrent),
        tasks(),
        group_size=2,
        take_deadline_s=deadline_s,
        on_added=on_added or added.append,
        on_failure=failures.append,
        groups_before=groups_before,
    )
    return sampler, added, failures


def test_a_batch_is_the_first_groups_to_finish_and_new_ones_start_in_their_place() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, added, failures = make(fleet, Buffer(), staleness=1)
        sampler.published(0)
        await asyncio.sleep(0.01)
        assert sorted(fleet.gates) == ["t0", "t1", "t2", "t3"]  # (1 + 1) x 2 may be open
        await fleet.finish("t3")
        await fleet.finish("t1")
        batch = await sampler.batch(0)
        assert set(batch.info.fresh_ids) == {"t3#4", "t1#2"}
        assert [a.reason for a in added] == [None, None]
        assert failures == []
        await sampler.stop()

    asyncio.run(run())


def test_a_group_that_teaches_nothing_makes_room_for_another() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, added, _ = make(fleet, Buffer(), staleness=0)
        sampler.published(0)
        await fleet.finish("t0", scores=(1.0, 1.0))
        assert sorted(fleet.gates) == ["t0", "t1", "t2"]
        assert [a.reason for a in added] == ["zero_variance"]
        await sampler.stop()

    asyncio.run(run())


@pytest.mark.timeout(30)  # it would wait for ever
@pytest.mark.parametrize("staleness", [0, 2])
def test_fewer_groups_at_once_than_a_batch_has_still_fill_it(staleness: int) -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, _, failures = make(fleet, Buffer(), staleness, concurrent=1)
        for version in range(3):
            sampler.published(version)
            for task in (2 * version, 2 * version + 1):
                await fleet.finish(f"t{task}")
            assert len((await sampler.batch(version)).info.fresh_ids) == 2
        assert failures == []
        await sampler.stop()

    asyncio.run(run())


def test_a_group_given_away_before_its_arrival_was_announced_is_counted_once() -> None:
    """The buffer stores it and hands it out while its answer to `add` is still on the way."""

    async def run() -> None:
        answered = asyncio.Event()

        async def late(episodes: list[Episode]) -> None:
            if episodes[0].group.task.id == "t0":
                await answered.wait()

        fleet = Fleet()
        sampler, added, failures = make(fleet, Buffer(delay=late), staleness=2)
        sampler.published(0)
        for task in ("t0", "t1", "t2"):  # t0 is the first in the buffer and unknown to the driver
            await fleet.finish(task)
        batch = await sampler.batch(0)
        assert set(batch.info.fresh_ids) == {"t0#1", "t1#2"}
        answered.set()
        await asyncio.sleep(0.01)
        assert len(added) == 3
        assert failures == []
        sampler.published(1)
        await fleet.finish("t3")
        assert set((await sampler.batch(1)).info.fresh_ids) == {"t2#3", "t3#4"}
        await sampler.stop()

    asyncio.run(run())


def test_a_batch_that_does_not_come_says_what_is_missing() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, _, _ = make(fleet, Buffer(), staleness=0, deadline_s=0.05)
        sampler.published(0)
        await fleet.finish("t1")
        with pytest.raises(TimeoutError, match="1 of 2 fresh groups are ready and 1 in flight, the oldest being t0#1"):
            await sampler.batch(0)
        await sampler.stop()

    asyncio.run(run())


def test_a_group_that_fails_is_reported() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, _, failures = make(fleet, Buffer(), staleness=0)
        sampler.published(0)
        await asyncio.sleep(0.01)
        fleet.gates["t0"].set_exception(RuntimeError("engine 0 has failed"))
        await asyncio.sleep(0.01)
        assert [str(error) for error in failures] == ["engine 0 has failed"]
        assert sorted(fleet.gates) == ["t0", "t1"]  # the run is ending: nothing starts in its place
        assert sampler.unfinished() == ["t0", "t1"]  # and a run resumed from here would pose both again
        await sampler.stop()

    asyncio.run(run())


def test_what_goes_wrong_after_a_group_was_stored_is_reported_too() -> None:
    """Nobody awaits a group: an error that only it knew of would leave the learner waiting."""

    async def run() -> None:
        fleet = Fleet()
        sampler, _, failures = make(fleet, Buffer(), staleness=0, on_added=full_disk)
        sampler.published(0)
        await fleet.finish("t0")
        assert [str(error) for error in failures] == ["no space left"]
        await sampler.stop()

    def full_disk(added: Added) -> None:
        raise OSError("no space left")

    asyncio.run(run())


def test_group_ids_go_on_where_a_stopped_run_left_off() -> None:
    """Engines draw a group's noise from its id: none may come twice."""

    async def run() -> None:
        fleet = Fleet()
        stopped, _, _ = make(fleet, Buffer(), staleness=1)
        stopped.published(0)
        await asyncio.sleep(0.01)
        await stopped.stop()
        resumed, _, _ = make(fleet, Buffer(), staleness=1, groups_before=stopped.groups_started)
        resumed.published(0)
        await asyncio.sleep(0.01)
        assert [request.group_id for request in fleet.requests] == [
            *("t0#1", "t1#2", "t2#3", "t3#4"),
            *("t0#5", "t1#6", "t2#7", "t3#8"),
        ]
        await resumed.stop()

    asyncio.run(run())


def test_unfinished_tasks_are_those_started_and_neither_trained_on_nor_rejected() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, _, _ = make(fleet, Buffer(), staleness=1)
        sampler.published(0)
        await fleet.finish("t1", scores=(1.0, 1.0))  # rejected: no variance; another starts in its place
        for task in ("t0", "t3", "t2"):
            await fleet.finish(task)
        assert sampler.unfinished() == ["t0", "t2", "t3", "t4"]  # three are ready, and none was trained on
        batch = await sampler.batch(0)
        trained = {group_id.partition("#")[0] for group_id in batch.info.fresh_ids}
        assert sampler.unfinished() == [t for t in ("t0", "t2", "t3", "t4") if t not in trained]
        assert sampler.groups_started == 5
        await sampler.stop()

    asyncio.run(run())


def test_a_task_whose_prompt_leaves_no_room_makes_room_for_another() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, added, failures = make(fleet, Buffer(), staleness=0)
        sampler.published(0)
        await asyncio.sleep(0.01)
        fleet.gates["t0"].set_exception(TaskDoesNotFit("task 't0': no room"))
        await fleet.finish("t1")
        await fleet.finish("t2")
        assert set((await sampler.batch(0)).info.fresh_ids) == {"t1#2", "t2#3"}
        assert (len(added), failures, sampler.unfinished()) == (2, [], [])
        await sampler.stop()

    asyncio.run(run())
