"""A small pool of processes that can be killed: for checkers that may hang, explode or crash on what a policy writes.

A thread cannot be killed, and a signal handler runs only between bytecodes of the main thread, so neither stops a
big-integer power. Here the parent keeps every deadline and enforces it with SIGKILL, and a fresh process takes the dead
one's place.

Blame follows `Verdict`: a request whose worker died is run once more, alone (no other worker of the pool busy) and in
a fresh process that has just proved with the warm-up request that it works. Only a second death by the request's own
doing is the request's fault. What did not depend on it (workers that cannot start, one killed from outside, a machine
too busy to give it CPU, an exception of the handler) is `Failure.INFRA`.
"""

from __future__ import annotations

import json
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reprise.rewards.workers.handle import Death, Limits, WorkerHandle

__all__ = ["Failure", "Limits", "Outcome", "WorkerPool"]

MAX_REQUEST_BYTES = 60_000  # fits into the pipe (64 KiB) of an idle worker, so writing does not block
START_ATTEMPTS = 3  # failed starts in a row after which requests are given up, until the next call tries again
START_BACK_OFF_S = 0.2  # before the second attempt; doubles with each further one
MAX_BACK_OFF_S = 10.0
_TICK_S = 0.02  # how often the CPU time of a worker beyond its first limit is looked at


class Failure(StrEnum):
    """Why a request has no response: three kinds of its own fault, and INFRA."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    INFRA = "infra"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: the handler's response (`failure` None), or why there is none."""

    value: Any = None
    failure: Failure | None = None
    detail: str = ""
    died: bool = False  # a worker died on it, so that it deserves a second run
    raised: bool = False  # the handler raised an exception on it, whatever that says of the request


class WorkerPool:
    """`processes` workers around one handler. `run` is synchronous and may be called from any thread, one at a time."""

    def __init__(self, handler: str, warm_up: Any, processes: int, limits: Limits) -> None:
        """handler: dotted path of `handle(request) -> response`, JSON values both. Starts nothing."""
        self.deaths = 0  # workers that ended, for whatever reason, since the pool was made
        self._start_arguments = (handler, warm_up, limits)
        self._limits = limits
        self._processes = processes
        self._workers: list[WorkerHandle] = []
        self._lock = threading.Lock()
        # PR_SET_PDEATHSIG fires when the *thread* that started the child ends; this one lives as long as the pool.
        self._starter: ThreadPoolExecutor | None = None
        self._failed_starts = 0
        self._start_error = ""
        self._start_after = 0.0

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return [worker.pid for worker in self._workers]

    def start(self) -> None:
        """Start all workers and wait until they are ready. RuntimeError if none of them can start."""
        with self._lock:
            while len(self._ready()) < self._processes and self._failed_starts < START_ATTEMPTS:
                self._replace_the_dead()
                self._wait()
            if not self._ready():
                raise RuntimeError(f"no worker starts: {self._give_up_starting()}")

    def run(self, requests: Sequence[Any]) -> list[Outcome]:
        """One outcome for each request (a JSON value of at most MAX_REQUEST_BYTES), in the order of the requests."""
        lines = {number: json.dumps(request).encode() + b"\n" for number, request in enumerate(requests)}
        for number, line in lines.items():
            if len(line) > MAX_REQUEST_BYTES:
                raise ValueError(f"request {number} has {len(line)} bytes, more than {MAX_REQUEST_BYTES}")
        with self._lock:
            outcomes = self._run(lines, alone=False)
            for number in [number for number, outcome in outcomes.items() if outcome.died]:
                outcomes |= self._run({number: lines[number]}, alone=True)
        return [outcomes[number] for number in lines]

    def close(self) -> None:
        """Kill all workers. A later `run` or `start` starts new ones."""
        with self._lock:
            self._end(self._workers, "the pool was closed")
            if self._starter is not None:
                self._starter.shutdown()
                self._starter = None

    def _run(self, lines: Mapping[int, bytes], alone: bool) -> dict[int, Outcome]:
        waiting = deque(lines)
        outcomes: dict[int, Outcome] = {}
        try:
            while len(outcomes) < len(lines):
                if alone:
                    self._end_a_used_one()
                self._replace_the_dead()
                for worker in self._ready():
                    if waiting and worker.request is None and not (alone and worker.served):
                        outcomes |= self._send(worker, waiting.popleft(), lines)
                stuck = all(worker.request is None and alone and worker.served for worker in self._workers)
                if waiting and stuck and self._failed_starts >= START_ATTEMPTS:
                    lost = Outcome(failure=Failure.INFRA, detail=f"no worker starts: {self._give_up_starting()}")
                    return outcomes | dict.fromkeys(waiting, lost)
                outcomes |= self._wait()
        finally:  # on an exception (Ctrl-C), nobody waits any more for what is still being worked on
            self._end([worker for worker in self._workers if worker.request is not None], "the call was interrupted")
        return outcomes

    def _send(self, worker: WorkerHandle, number: int, lines: Mapping[int, bytes]) -> dict[int, Outcome]:
        try:
            worker.send(number, lines[number])
        except BrokenPipeError:
            return self._remove(worker)
        return {}

    def _wait(self) -> dict[int, Outcome]:
        """Wait until something happens, and no longer than until the next limit; the outcomes that came of it."""
        now = time.monotonic()
        waits = [worker.check_at() - now for worker in self._workers if not worker.ready or worker.request is not None]
        if len(self._workers) < self._processes:
            waits.append(self._start_after - now)
        outcomes: dict[int, Outcome] = {}
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.fd, selectors.EVENT_READ, worker)
            for key, _ in selector.select(max(_TICK_S, min(waits, default=_TICK_S))):
                outcomes |= self._receive(key.data)
        for worker in list(self._workers):
            outcomes |= self._enforce_limits(worker)
        return outcomes

    def _receive(self, worker: WorkerHandle) -> dict[int, Outcome]:
        try:
            message = worker.read()
        except EOFError:
            return self._remove(worker)
        if message is None:
            return {}
        if not worker.ready:
            worker.ready = "ready" in message
            worker.start_error = str(message.get("error", ""))
            self._failed_starts = 0 if worker.ready else self._failed_starts
            return {}
        number, worker.request = worker.request, None
        if number is None:
            return self._remove(worker, "spoke without being asked")
        if "value" in message:
            return {number: Outcome(message["value"])}
        return {
            number: Outcome(failure=Failure.INFRA, detail=f"the handler raised {message.get('error')}", raised=True)
        }

    def _enforce_limits(self, worker: WorkerHandle) -> dict[int, Outcome]:
        now = time.monotonic()
        if (worker.ready and worker.request is None) or now < worker.check_at():
            return {}
        if not worker.ready:
            return self._remove(worker, f"was not ready within {self._limits.start_s:g} s")
        cpu = worker.cpu_used()
        if cpu >= self._limits.cpu_s:
            return self._remove(worker, f"used {cpu:.1f} s of CPU", Failure.TIMEOUT)
        if now >= worker.deadline:
            # Late without much CPU is the machine's doing; late with about half of its due is the request's.
            fault = Failure.TIMEOUT if cpu >= self._limits.cpu_s / 2 else Failure.INFRA
            return self._remove(worker, f"took {self._limits.wall_s:g} s with {cpu:.1f} s of CPU", fault)
        return {}

    def _remove(self, worker: WorkerHandle, killed: str = "", fault: Failure | None = None) -> dict[int, Outcome]:
        """Take a dead or killed worker out of the pool; the outcome of what it was working on."""
        self._workers.remove(worker)
        self.deaths += 1
        death = worker.end(killed)
        if not worker.ready:
            self._start_failed(worker.start_error or str(death))
        if worker.request is None:
            return {}
        return {worker.request: Outcome(failure=fault or _fault(death), detail=str(death), died=True)}

    def _end(self, workers: Iterable[WorkerHandle], why: str) -> None:
        for worker in list(workers):
            self._workers.remove(worker)
            self.deaths += 1
            worker.end(why)

    def _ready(self) -> list[WorkerHandle]:
        return [worker for worker in self._workers if worker.ready]

    def _end_a_used_one(self) -> None:
        """If every worker has served before, end one of them, so that its replacement takes the request run alone."""
        if len(self._workers) == self._processes and all(worker.served for worker in self._workers):
            idle = [worker for worker in self._workers if worker.request is None]
            self._end(sorted(idle, key=lambda worker: -worker.served)[:1], "replaced by a fresh one")

    def _replace_the_dead(self) -> None:
        while len(self._workers) < self._processes and time.monotonic() >= self._start_after:
            self._starter = self._starter or ThreadPoolExecutor(1, "worker-starter")
            try:
                self._workers.append(self._starter.submit(WorkerHandle, *self._start_arguments).result())
            except OSError as error:  # no memory or no process left
                self._start_failed(str(error))

    def _start_failed(self, error: str) -> None:
        back_off = min(START_BACK_OFF_S * 2**self._failed_starts, MAX_BACK_OFF_S)
        self._start_error, self._start_after = error, time.monotonic() + back_off
        self._failed_starts += 1

    def _give_up_starting(self) -> str:
        """The cause of the last failed start; the next call tries again."""
        self._failed_starts = 0
        return self._start_error


def _fault(death: Death) -> Failure:
    """Whose fault a death is that the pool did not cause."""
    if death.killed:  # it closed its pipe or sent nonsense
        return Failure.CRASH
    if death.out_of_memory:
        return Failure.MEMORY
    if death.signal == signal.SIGXCPU:
        return Failure.TIMEOUT
    # From outside. The address space is bounded, so the kernel's out-of-memory killer comes for the machine's state.
    if death.signal in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return Failure.INFRA
    return Failure.CRASH
