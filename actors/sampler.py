"""Keeps engines busy within the staleness bound, and hands the learner its batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from actors.buffer import Added, BatchInfo
from actors.fleet import Fleet
from buffer.types import Task
from rollout.admission import Admission
from rollout.engine import SampleRequest


@dataclass(frozen=True, slots=True)
class BatchOnItsWay:
    """A batch for the learner. `groups` is a reference: the arrays never pass the driver."""

    groups: Any
    info: BatchInfo
    waited_seconds: float


class Sampler:
    """Task by task from the stream: admission, sampling, judging, buffer. Runs on the driver's event loop.

    Args:
        fleet: engines and verifiers.
        buffer: the buffer actor.
        admission: the staleness rule; all decisions are its.
        tasks: training tasks, in order.
        group_size: responses a task.
        take_deadline_s: seconds a batch may be waited for.
        on_added: called with what became of each group.
        on_failure: called with the error of a background group, which ends the run.
        groups_before: groups that a resumed run had started; ids go on from there.
    """

    def __init__(
        self,
        fleet: Fleet,
        buffer: Any,
        admission: Admission,
        tasks: Iterator[Task],
        *,
        group_size: int,
        take_deadline_s: float,
        on_added: Callable[[Added], None],
        on_failure: Callable[[BaseException], None],
        groups_before: int = 0,
    ) -> None:
        self._fleet = fleet
        self._buffer = buffer
        self._admission = admission
        self._tasks = tasks
        self._group_size = group_size
        self._take_deadline_s = take_deadline_s
        self._on_added = on_added
        self._on_failure = on_failure
        self._version: int | None = None
        self._counter = groups_before
        self._running: set[asyncio.Task[None]] = set()
        self._in_flight: set[str] = set()
        self._open: dict[str, str] = {}  # group -> task, from its start until a batch holds it or the buffer rejects it
        self._changed = asyncio.Event()

    @property
    def groups_started(self) -> int:
        """Groups started so far, those before a resumption included."""
        return self._counter

    def published(self, version: int) -> None:
        """Every engine holds `version`: start what may be started with it."""
        self._version = version
        self._fill()

    async def batch(self, version: int) -> BatchOnItsWay:
        """The batch of `version`, once the staleness rule lets the learner take it; TimeoutError at the deadline."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._take_deadline_s):
                while not self._admission.may_take(version):
                    self._changed.clear()
                    await self._changed.wait()
                fresh = self._admission.fresh_in_next_batch
                groups, info = self._buffer.take.options(num_returns=2).remote(version, fresh)
                info = await info
        except TimeoutError:
            raise TimeoutError(self._starved(version)) from None
        for group_id in info.fresh_ids:
            self._is_ready(group_id)
            del self._open[group_id]
        self._admission.taken(version, info.fresh_ids)
        self._fill()
        return BatchOnItsWay(groups, info, loop.time() - started)

    def _starved(self, version: int) -> str:
        waited_for = self._admission.stragglers()
        return (
            f"no batch for version {version} within buffer.take_deadline_s = {self._take_deadline_s:g} s: "
            f"{self._admission.ready} of {self._admission.fresh_in_next_batch} fresh groups are ready and "
            f"{self._admission.in_flight} in flight"
            + (f", the oldest being {', '.join(waited_for[:3])}" if waited_for else "")
        )

    def unfinished(self) -> list[str]:
        """Ids of the tasks whose groups were started and neither trained on nor rejected, in order of start."""
        return list(self._open.values())

    async def stop(self) -> None:
        """Start no more groups and give up those in flight."""
        self._version = None
        for group in self._running:
            group.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _fill(self) -> None:
        while self._version is not None and self._admission.may_start(self._version):
            task = next(self._tasks)
            self._counter += 1
            request = SampleRequest(task, f"{task.id}#{self._counter}", self._version, self._group_size)
            self._admission.start(request.group_id, self._version)
            self._in_flight.add(request.group_id)
            self._open[request.group_id] = task.id
            group = asyncio.create_task(self._group(request))
            self._running.add(group)
            group.add_done_callback(self._running.discard)

    async def _group(self, request: SampleRequest) -> None:
        try:
            judged = await self._fleet.judged([request])
            added: Added = await self._buffer.add.remote(judged)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the run, with this as the cause
            self._in_flight.remove(request.group_id)
            self._open.pop(request.group_id)
            self._admission.lost(request.group_id)
            self._on_failure(error)
            return
        self._on_added(added)
        if added.reason is None:
            self._is_ready(request.group_id)
        else:
            self._in_flight.remove(request.group_id)
            self._open.pop(request.group_id)
            self._admission.rejected(request.group_id)
            self._fill()
        self._changed.set()

    def _is_ready(self, group_id: str) -> None:
        """Tell admission once, when the buffer says it has the group or, sooner, when a batch already holds it.

        The buffer may store a group and give it away before its answer to `add` is here.
        """
        if group_id in self._in_flight:
            self._in_flight.remove(group_id)
            self._admission.finished(group_id)
