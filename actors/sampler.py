"""Keeps engines busy within the staleness bound, and hands the learner its batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from reprise.actors.buffer import Added, BatchInfo, BufferActor
from reprise.actors.fleet import Fleet
from reprise.actors.remote import Actor, Ref, passed
from reprise.core.types import Group, Task
from reprise.rollout.admission import Admission
from reprise.rollout.episodes.base import SampleRequest, TaskDoesNotFit
from reprise.rollout.open_groups import OpenGroups


@dataclass(frozen=True, slots=True)
class Finished:
    """A group that the buffer has stored or rejected, with the seconds that its stages took."""

    verifier: str
    generate_seconds: float
    queue_seconds: float
    verify_seconds: float
    added: Added


@dataclass(frozen=True, slots=True)
class TakenBatch:
    """A batch for the learner. `groups` is a reference: the arrays never pass the driver."""

    groups: Ref[list[Group]]
    info: BatchInfo
    waited_seconds: float


class Sampler:
    """Task by task from the stream: sampling, verifying, buffer. Runs on the driver's event loop.

    What starts when is `OpenGroups`' decision; this carries it out. A group that ends with an error ends the run: the
    fleet has tried what there is to try by then, or the buffer has found starvation.

    Args:
        fleet: engines and verifiers.
        buffer: the buffer actor.
        admission: the staleness rule; all decisions are its.
        tasks: training tasks, in order.
        group_size: responses a task.
        take_deadline_s: seconds a batch may be waited for.
        on_finished: called with what became of each group.
        on_failure: called with the error of a background group, which ends the run.
        groups_before: groups that a resumed run had started; ids go on from there.
    """

    def __init__(
        self,
        fleet: Fleet,
        buffer: Actor[BufferActor],
        admission: Admission,
        tasks: Iterator[Task],
        *,
        group_size: int,
        take_deadline_s: float,
        on_finished: Callable[[Finished], None],
        on_failure: Callable[[BaseException], None],
        groups_before: int = 0,
    ) -> None:
        self._fleet = fleet
        self._buffer = buffer
        self._admission = admission
        self._open = OpenGroups(admission, tasks, group_size, groups_before)
        self._take_deadline_s = take_deadline_s
        self._on_finished = on_finished
        self._on_failure = on_failure
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @property
    def groups_started(self) -> int:
        """Groups started so far, those before a resumption included."""
        return self._open.started

    def published(self, version: int) -> None:
        """Every engine holds `version`: start what may be started with it."""
        self._start(self._open.published(version))

    async def batch(self, version: int) -> TakenBatch:
        """The batch of `version`, once the staleness rule lets the learner take it; TimeoutError at the deadline."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        waited = False
        try:
            async with asyncio.timeout(self._take_deadline_s):
                while not self._admission.may_take(version):
                    waited = True
                    self._changed.clear()
                    await self._changed.wait()
                group_ids, started_now = self._open.take(version, waited)
                self._start(started_now)
                groups, info = self._buffer.call_in_two(BufferActor.take, version, group_ids)
                return TakenBatch(groups, await info, loop.time() - started)
        except TimeoutError:
            raise TimeoutError(self._starved(version)) from None

    def _starved(self, version: int) -> str:
        waited_for = self._admission.stragglers()
        return (
            f"no batch for version {version} within buffer.take_deadline_s = {self._take_deadline_s:g} s: "
            f"{self._admission.ready} of {self._admission.fresh_per_batch} fresh groups are ready and "
            f"{self._admission.in_flight} in flight"
            + (f", the oldest being {', '.join(waited_for[:3])}" if waited_for else "")
        )

    def unfinished(self) -> list[str]:
        """Ids of the tasks whose groups were started and neither trained on nor rejected, in order of start."""
        return self._open.unfinished()

    async def stop(self) -> None:
        """Start no more groups and give up those in flight."""
        self._open.close()
        for group in self._running:
            group.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, requests: Iterable[SampleRequest]) -> None:
        for request in requests:
            group = asyncio.create_task(self._group(request))
            self._running.add(group)
            group.add_done_callback(self._running.discard)

    async def _group(self, request: SampleRequest) -> None:
        try:
            ended = self._open.stored if await self._was_stored(request) else self._open.rejected
            self._start(ended(request.group_id))
            self._changed.set()
        except BaseException as error:
            self._open.close()
            self._open.lost(request.group_id)
            if not isinstance(error, Exception):  # cancelled, as the run ends
                raise
            self._on_failure(error)

    async def _was_stored(self, request: SampleRequest) -> bool:
        try:
            sampled = await self._fleet.sample(request)
        except TaskDoesNotFit:  # counted by the fleet
            return False
        verified = await self._fleet.verify(request.task, sampled.responses)
        added = await self._buffer.call(BufferActor.add, passed(sampled.group), verified.verdicts)
        times = sampled.responses.seconds, verified.queue_seconds, verified.seconds
        self._on_finished(Finished(request.task.verifier, *times, added))
        return added.reason is None
