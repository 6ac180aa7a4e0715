"""The sandbox as verifiers use it: some slots, whatever is behind them, and who is to blame for a bad end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from reprise.sandbox.backends import UNSAFE, Probe, box_of, choose, uid_base_of
from reprise.sandbox.base import Ending, Job, JobResult
from reprise.sandbox.remote import RemoteSlot
from reprise.sandbox.settings import SandboxSettings
from reprise.sandbox.slot import BoxDied, Slot, SlotFailure

_HARMLESS = Job(source="print(1)")
# Takes 0.1 s where a core is to be had.
_BUSY = Job(source="import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass")
_PROMPT_S = 0.3
_QUICK_S = 1.0  # for the harmless job


class _AnySlot(Protocol):
    def start(self) -> None: ...
    def wait_ready(self) -> None: ...
    def run(self, job: Job) -> JobResult: ...
    def release(self) -> None: ...


class SandboxPool:
    """`settings.slots` sandboxes. `run` and `run_one` may be called from any thread.

    Blame follows `Verdict`: what the kernel's limits or the job's own CPU time say is the program's doing. A deadline
    missed without much CPU time may be the machine's: unless the job did not wait for a core, and a harmless job in the
    same slot ends at once, the job is run once more, alone (no other job in the pool), and what happens then counts. So
    it is where a box died; if it dies again and a harmless program fares no better, that is INFRA. A box that cannot
    even start is never a job's fault.
    """

    def __init__(self, settings: SandboxSettings, preload: Sequence[str] = ()) -> None:
        """preload: modules imported before jobs are forked, where the backend forks them. Starts nothing."""
        self.settings, self._preload = settings, tuple(preload)
        self.backend = ""  # the one in use, once started
        self.rejected: list[Probe] = []  # stronger ones that do not work here, and why
        self.reruns = 0  # jobs run again, alone, before they were blamed
        self._slots: list[_AnySlot] = []
        self._free: queue.SimpleQueue[_AnySlot] = queue.SimpleQueue()
        self._turn = _Turn()
        self._starting = threading.Lock()

    @property
    def keeper_pids(self) -> list[int]:
        """Of the slots that are up: everything in the sandbox descends from these."""
        return [s.keeper_pid for s in self._slots if isinstance(s, Slot) and s.keeper_pid is not None]

    @property
    def notes(self) -> list[str]:
        """What users must know about the backend in use; empty if it is the one they would expect."""
        if self.backend == UNSAFE:
            return ["programs run WITHOUT A SANDBOX (sandbox.unsafe_subprocess): they can read and write what you can"]
        if self.rejected:
            why = "; ".join(f"{probe.backend} does not work here: {probe.why}" for probe in self.rejected)
            return [f"programs run in the sandbox backend {self.backend} ({why})"]
        return []

    def start(self) -> None:
        """Choose a backend and start every slot. NoSandbox if none works; SlotFailure if the preload does not."""
        with self._starting:
            if self._slots:
                return
            self.backend, self.rejected = choose(self.settings)
            slots = [self._make() for _ in range(self.settings.slots)]
            try:
                for slot in slots:
                    slot.start()
                for slot in slots:
                    slot.wait_ready()
            except BaseException:
                _release(slots)
                raise
            self._slots = slots
            for slot in slots:
                self._free.put(slot)

    def run_one(self, job: Job, patient: bool = True) -> JobResult:
        """Run a job as soon as a slot is free; always a result, never an exception of the job's making.

        patient  False: a missed deadline counts at once. For the further jobs of a program that was run twice before
        """
        self.start()
        with self._turn.shared():
            result, prompt = self._try(job)
        if result.ending is not Ending.INFRA and (prompt or not patient):
            return result
        with self._turn.alone():
            self.reruns += 1
            again = replace(self._try(job)[0], runs=2)
            if not (result.box_died and again.box_died):
                return again
            if self._try(_HARMLESS)[0].ending is Ending.OK:
                why = f"its sandbox died with it twice: {again.explanation}"
                return JobResult(Ending.CRASH, explanation=why, runs=2)
            return again

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """One result for each job, in the order of the jobs."""
        if len(jobs) < 2:
            return [self.run_one(job) for job in jobs]
        with ThreadPoolExecutor(min(len(jobs), self.settings.slots), "sandbox") as threads:
            return list(threads.map(self.run_one, jobs))

    def close(self) -> None:
        """End every box. A later `start` or `run` restarts them."""
        with self._starting:
            slots, self._slots, self._free = self._slots, [], queue.SimpleQueue()
            _release(slots)

    def _make(self) -> _AnySlot:
        if self.backend == "remote":
            return RemoteSlot(str(self.settings.remote_url))
        return Slot(box_of(self.backend, self._preload, self.settings.recycle_after), uid_base_of(self.settings))

    def _try(self, job: Job) -> tuple[JobResult, bool]:
        """What came of it, and False if it missed its deadline on a machine that may have been too busy for it."""
        slot = self._free.get()
        try:
            result = slot.run(job)
            return result, not _is_idle(job, result) or _is_prompt(slot, _slept(job, result))
        except SlotFailure as error:
            return JobResult(Ending.INFRA, explanation=str(error), box_died=isinstance(error, BoxDied)), True
        finally:
            self._free.put(slot)


def _release(slots: Sequence[_AnySlot]) -> None:
    """All of them side by side, for each waits until its box is gone."""
    with ThreadPoolExecutor(max(1, len(slots)), "sandbox") as threads:
        list(threads.map(lambda slot: slot.release(), slots))


def _is_idle(job: Job, result: JobResult) -> bool:
    """Late, with little CPU time: it slept, or waited for the machine."""
    return result.ending is Ending.TIMEOUT and result.cpu_s < min(job.limits.cpu_s, result.wall_s) / 2


def _slept(job: Job, result: JobResult) -> bool:
    """By the kernel's account: what it waited for was not a core."""
    return result.delay_s is not None and _is_idle(job, replace(result, cpu_s=result.cpu_s + result.delay_s))


def _is_prompt(slot: _AnySlot, slept: bool) -> bool:
    """Whether the machine does not keep jobs waiting now: for a core, or at all if that is all that may be to blame."""
    try:
        result = slot.run(_HARMLESS if slept else _BUSY)
    except SlotFailure:
        return False
    return result.ending is Ending.OK and result.wall_s < (_QUICK_S if slept else _PROMPT_S)


class _Turn:
    """Many shared holders or one alone; who wants to be alone goes before those who come after."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._alone = False
        self._waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._alone and not self._sharing)
            finally:  # also on Ctrl-C: nobody may wait for a turn that never comes
                self._waiting -= 1
                self._changed.notify_all()
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
