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
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from reprise.rewards.workers.process import MAX_REQUEST_BYTES
from reprise.rewards.workers.worker import Failure, Limits, NoStart, Outcome, Worker

__all__ = ["MAX_REQUEST_BYTES", "Failure", "Limits", "Outcome", "WorkerPool"]

START_ATTEMPTS = 3  # failed starts in a row after which requests are given up, until the next call tries again
_INTERRUPT_EVERY_S = 0.1


class WorkerPool:
    """`processes` workers around one handler. `run` is synchronous and may be called from any thread, one at a time."""

    def __init__(self, handler: str, warm_up: object, processes: int, limits: Limits) -> None:
        """handler: dotted path of `handle(request) -> response`, JSON values both. Starts nothing."""
        self._limits = limits
        self._workers = [Worker(handler, warm_up, limits) for _ in range(processes)]
        self._lock = threading.Lock()
        self._interrupted = False
        self._threads: ThreadPoolExecutor | None = None  # which live as long as the processes that they start

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def deaths(self) -> int:
        """Workers that ended, for whatever reason, since the pool was made."""
        return sum(worker.deaths for worker in self._workers)

    def start(self) -> None:
        """Start all workers and wait until they are ready. RuntimeError if none of them can start."""
        causes: list[str] = []

        def start(worker: Worker) -> None:
            try:
                worker.start(START_ATTEMPTS)
            except NoStart as error:
                causes.append(str(error))

        with self._lock:
            self._with_each(self._workers, start)
        if len(causes) == len(self._workers):
            raise RuntimeError(f"no worker starts: {causes[-1]}")

    def run(self, requests: Sequence[object]) -> list[Outcome]:
        """One outcome for each request (a JSON value of at most MAX_REQUEST_BYTES), in the order of the requests."""
        lines = {number: json.dumps(request).encode() for number, request in enumerate(requests)}
        for number, line in lines.items():
            if len(line) > MAX_REQUEST_BYTES:
                raise ValueError(f"request {number} has {len(line)} bytes, more than {MAX_REQUEST_BYTES}")
        with self._lock:
            outcomes = self._run(lines, self._workers)
            for number in [number for number, outcome in outcomes.items() if outcome.died]:
                fresh = min(self._workers, key=lambda worker: worker.served)
                if fresh.served:
                    fresh.end("replaced by a fresh one")
                outcomes |= self._run({number: lines[number]}, [fresh])
        return [outcomes[number] for number in lines]

    def close(self) -> None:
        """Kill all workers. A later `run` or `start` starts new ones."""
        with self._lock:
            for worker in self._workers:
                worker.end("the pool was closed")
            if self._threads is not None:
                self._threads.shutdown()
                self._threads = None

    def _run(self, lines: Mapping[int, bytes], workers: Sequence[Worker]) -> dict[int, Outcome]:
        waiting, outcomes = deque(lines), dict[int, Outcome]()
        able, cause = list(workers), ""

        def serve(worker: Worker) -> None:
            nonlocal cause
            while waiting and not self._interrupted:
                try:
                    number = waiting.popleft()
                except IndexError:  # another took the last
                    return
                try:
                    outcomes[number] = worker.run(lines[number], START_ATTEMPTS)
                except NoStart as error:
                    cause = str(error)
                    waiting.append(number)
                    return able.remove(worker)

        while waiting and able:
            self._with_each(able[: len(waiting)], serve)
        lost = Outcome(failure=Failure.INFRA, detail=f"no worker starts: {cause}")
        return outcomes | dict.fromkeys(waiting, lost)

    def _with_each(self, workers: Sequence[Worker], work: Callable[[Worker], None]) -> None:
        """Do this with all of them, side by side."""
        self._threads = self._threads or ThreadPoolExecutor(len(self._workers), "workers")
        self._interrupted = False
        doing = [self._threads.submit(work, worker) for worker in workers]
        try:
            wait(doing)
        except BaseException:  # Ctrl-C: nobody waits any more for what is still being worked on
            self._interrupted = True
            while wait(doing, _INTERRUPT_EVERY_S).not_done:
                for worker in workers:
                    worker.interrupt()
            raise
        for each in doing:
            each.result()
