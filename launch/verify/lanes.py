"""Judging beside one another: a lane is a thread that judges one batch at a time with one verifier.

A thread cannot be killed, but it can be left: a lane that misses its deadline is abandoned with its verifier, and a new
one takes its place. Threads are daemons, so that an abandoned one does not keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from buffer.types import Verdict
from rewards.base import Answer
from rewards.judging import Judge


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers judged in one call, with their places in the file."""

    places: Sequence[int]
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Done:
    """What a lane reports: verdicts in the batch's order, or what ended it. `batch` is None for the lane's start."""

    lane: Lane
    batch: Batch | None
    verdicts: Sequence[Verdict] = ()
    error: BaseException | None = None


class Lane:
    """Starts its verifier at once, then judges what it is given.

    done      where it reports
    deadline  clock value by which the next report is due; None while it has nothing to do
    """

    def __init__(self, name: str, judge: Judge, done: SimpleQueue[Done], deadline: float) -> None:
        self.name = name
        self.deadline: float | None = deadline
        self.batch: Batch | None = None
        self._judge, self._done = judge, done
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"verifier {name}", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        return self.deadline is None

    def give(self, batch: Batch, deadline: float) -> None:
        """Judge these; only when `idle`."""
        self.batch, self.deadline = batch, deadline
        self._work.put(batch)

    def rest(self) -> None:
        """Its report has been read."""
        self.batch = self.deadline = None

    def close(self, timeout_s: float) -> None:
        """Let it close its verifier and end, or leave it after `timeout_s`."""
        self._work.put(None)
        self._thread.join(timeout_s)

    def abandon(self) -> None:
        """Leave it to itself. Closing the verifier ends its processes, if it has any, and may free the thread."""
        self._work.put(None)
        threading.Thread(target=self._close, daemon=True).start()

    def _run(self) -> None:
        try:
            if self._report(None, self._start):
                while (batch := self._work.get()) is not None:
                    self._report(batch, partial(self._verdicts, batch))
        finally:
            self._close()

    def _close(self) -> None:
        with suppress(Exception):  # all verdicts are in, or the verifier is given up
            self._judge.close()

    def _start(self) -> Sequence[Verdict]:
        self._judge.start()
        return ()

    def _verdicts(self, batch: Batch) -> Sequence[Verdict]:
        return self._judge.judge(batch.answers).verdicts

    def _report(self, batch: Batch | None, work: Callable[[], Sequence[Verdict]]) -> bool:
        try:
            done = Done(self, batch, work())
        except BaseException as error:  # noqa: BLE001  a verifier may raise anything, SystemExit too; the run decides
            done = Done(self, batch, error=error)
        self._done.put(done)
        return done.error is None
