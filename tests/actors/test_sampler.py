"""The sampler with the real fleet, rollout actor, admission and buffer, on one event loop; the engine is a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
import virtual_time
from small_groups import settings
from stand_ins import StandInEngine, StandInFleet, local, single_turn, tokens

from reprise.actors.buffer import Added, BufferActor
from reprise.actors.fleet import Sampled
from reprise.actors.sampler import Finished, Sampler, TakenBatch
from reprise.core.types import Group, Int32, Task, Verdict
from reprise.models.tiny import character_tokenizer
from reprise.rollout.admission import Admission
from reprise.rollout.engine import Completion, Sampling
from reprise.rollout.episodes import single_turn as episode
from reprise.rollout.episodes.base import SampleRequest, TaskDoesNotFit
from reprise.rollout.settings import RolloutSettings

SETTINGS = settings(max_uses=1, batch_groups=2, fresh_fraction=1.0, take_deadline_s=5)


class Engine(StandInEngine):
    """Ends a group when a test says so: each response is the score that it will get."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[str, asyncio.Future[Sequence[float]]] = {}
        self._tokenizer = character_tokenizer()

    async def sample(self, prompt_ids: Int32, sampling: Sampling) -> list[Completion]:
        version = self.version
        task = sampling.name.removeprefix("group ").partition("#")[0]
        gate = self.gates[task] = asyncio.get_running_loop().create_future()
        end = self._tokenizer.eos_token_id
        return [tokens([*self._tokenizer.encode(str(score)), end], version=version) for score in await gate]


class Fleet(StandInFleet):
    def __init__(self) -> None:
        episode = single_turn(RolloutSettings())
        self.engine = Engine()
        self.gates = self.engine.gates
        super().__init__(self.engine, episode, lambda text: Verdict.scored(float(text)))

    async def sample(self, request: SampleRequest) -> Sampled:
        self.engine.version = request.start_version
        return await super().sample(request)

    async def finish(self, task_id: str, scores: Sequence[float] = (0.0, 1.0)) -> None:
        while task_id not in self.gates:
            await asyncio.sleep(0)
        self.gates[task_id].set_result(scores)
        await asyncio.sleep(0.01)


class Buffer(BufferActor):
    """The real one; its answer to `add` may come late."""

    def __init__(self, delay: Callable[[Group], Awaitable[None]] | None = None) -> None:
        super().__init__(SETTINGS, seed=0, uses_per_take=1)
        self._delay = delay

    async def add(self, group: Group, verdicts: Sequence[Verdict]) -> Added:
        added = await super().add(group, verdicts)
        if self._delay is not None:
            await self._delay(group)
        return added


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
    on_finished: Callable[[Finished], None] | None = None,
) -> tuple[Sampler, list[Finished], list[BaseException]]:
    finished: list[Finished] = []
    failures: list[BaseException] = []
    sampler = Sampler(
        fleet,
        local(buffer),
        Admission(staleness, SETTINGS.fresh_per_batch, concurrent),
        tasks(),
        group_size=2,
        take_deadline_s=deadline_s,
        on_finished=on_finished or finished.append,
        on_failure=failures.append,
        groups_before=groups_before,
    )
    return sampler, finished, failures


async def ids(batch: TakenBatch) -> list[str]:
    return [group.id for group in await batch.groups]


def test_a_batch_is_the_groups_that_have_finished_and_new_ones_start_in_their_place() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, finished, failures = make(fleet, Buffer(), staleness=1)
        sampler.published(0)
        await asyncio.sleep(0.01)
        assert sorted(fleet.gates) == ["t0", "t1", "t2", "t3"]  # (1 + 1) x 2 may be open
        await fleet.finish("t3")
        await fleet.finish("t1")
        batch = await sampler.batch(0)
        assert set(await ids(batch)) == {"t3#4", "t1#2"}
        assert [group.added.reason for group in finished] == [None, None]
        assert failures == []
        await asyncio.sleep(0.01)
        assert sorted(fleet.gates) == ["t0", "t1", "t2", "t3"]  # the two in flight are due at version 1
        sampler.published(1)
        await asyncio.sleep(0.01)
        assert sorted(fleet.gates) == ["t0", "t1", "t2", "t3", "t4", "t5"]
        await sampler.stop()

    virtual_time.run(run())


def test_of_groups_of_one_version_those_that_started_first_are_in_the_batch() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, _, failures = make(fleet, Buffer(), staleness=1)
        sampler.published(0)
        for task in ("t3", "t2", "t0"):
            await fleet.finish(task)
        assert set(await ids(await sampler.batch(0))) == {"t0#1", "t2#3"}
        assert failures == []
        await sampler.stop()

    virtual_time.run(run())


def test_a_finished_group_is_reported_with_its_verifier_the_seconds_of_its_stages_and_the_totals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([7.0, 7.0] + [7.1] * 9)  # two groups start, and one ends
    monkeypatch.setattr(episode, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    async def run() -> Finished:
        fleet = Fleet()
        sampler, finished, _ = make(fleet, Buffer(), staleness=0)
        sampler.published(0)
        await fleet.finish("t0")
        await sampler.stop()
        [group] = finished
        return group

    group = virtual_time.run(run())
    assert group.verifier == "exact"
    assert (group.generate_seconds, group.queue_seconds, group.verify_seconds) == (pytest.approx(0.1), 0.2, 0.3)
    assert group.added.counters["groups/admitted"] == 1
    assert group.added.answers["d"]["scored"] == 2


def test_a_group_that_teaches_nothing_makes_room_for_another() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, finished, _ = make(fleet, Buffer(), staleness=0)
        sampler.published(0)
        await fleet.finish("t0", scores=(1.0, 1.0))
        assert sorted(fleet.gates) == ["t0", "t1", "t2"]
        assert [group.added.reason for group in finished] == ["zero_variance"]
        await sampler.stop()

    virtual_time.run(run())


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
            assert len(await ids(await sampler.batch(version))) == 2
        assert failures == []
        await sampler.stop()

    virtual_time.run(run())


def test_a_group_whose_answer_is_still_on_the_way_is_in_a_later_batch() -> None:
    """The buffer holds it already; a batch is made of what the driver knows to be stored."""

    async def run() -> None:
        answered = asyncio.Event()

        async def late(group: Group) -> None:
            if group.task.id == "t0":
                await answered.wait()

        fleet = Fleet()
        sampler, finished, failures = make(fleet, Buffer(delay=late), staleness=2)
        sampler.published(0)
        for task in ("t0", "t1", "t2"):  # t0 is the first in the buffer and unknown to the driver
            await fleet.finish(task)
        batch = await sampler.batch(0)
        assert set(await ids(batch)) == {"t1#2", "t2#3"}
        answered.set()
        await asyncio.sleep(0.01)
        assert len(finished) == 3
        assert failures == []
        sampler.published(1)
        await fleet.finish("t3")
        assert set(await ids(await sampler.batch(1))) == {"t0#1", "t3#4"}
        await sampler.stop()

    virtual_time.run(run())


def test_a_batch_that_does_not_come_says_what_is_missing() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, _, _ = make(fleet, Buffer(), staleness=0, deadline_s=0.05)
        sampler.published(0)
        await fleet.finish("t1")
        with pytest.raises(TimeoutError, match="1 of 2 fresh groups are ready and 1 in flight, the oldest being t0#1"):
            await sampler.batch(0)
        await sampler.stop()

    virtual_time.run(run())


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

    virtual_time.run(run())


def test_what_goes_wrong_after_a_group_was_stored_is_reported_too() -> None:
    """Nobody awaits a group: an error that only it knew of would leave the learner waiting."""

    async def run() -> None:
        fleet = Fleet()
        sampler, _, failures = make(fleet, Buffer(), staleness=0, on_finished=full_disk)
        sampler.published(0)
        await fleet.finish("t0")
        assert [str(error) for error in failures] == ["no space left"]
        await sampler.stop()

    def full_disk(finished: Finished) -> None:
        raise OSError("no space left")

    virtual_time.run(run())


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

    virtual_time.run(run())


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
        trained = {group_id.partition("#")[0] for group_id in await ids(batch)}
        assert sampler.unfinished() == [t for t in ("t0", "t2", "t3", "t4") if t not in trained]
        assert sampler.groups_started == 5
        await sampler.stop()

    virtual_time.run(run())


def test_in_place_of_a_task_whose_prompt_does_not_fit_another_starts() -> None:
    async def run() -> None:
        fleet = Fleet()
        sampler, finished, failures = make(fleet, Buffer(), staleness=0)
        sampler.published(0)
        await asyncio.sleep(0.01)
        fleet.gates["t0"].set_exception(TaskDoesNotFit("task 't0' does not fit"))
        await fleet.finish("t1")
        await fleet.finish("t2")
        assert set(await ids(await sampler.batch(0))) == {"t1#2", "t2#3"}
        assert (len(finished), failures, sampler.unfinished()) == (2, [], [])
        await sampler.stop()

    virtual_time.run(run())
