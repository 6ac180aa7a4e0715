"""The loop: answers to lanes, verdicts back in the answers' order, and no wait without a deadline."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from buffer.errors import RunError, UserError
from buffer.types import Verdict
from launch.verify.lanes import Done, Lane
from launch.verify.window import Window
from rewards.base import Answer, Reason
from rewards.judging import Judge

# Seconds a verifier may take to close before it is left.
_CLOSE_S = 10.0
_LOOK_EVERY_S = 0.5

Ready = Sequence[tuple[int, Answer, Verdict]]


class Judges:
    """One lane for each verifier, started side by side.

    make        a new judge, not started, for a verifier's name
    deadline_s  seconds for a start, and for a batch
    give_up     batches in a row that a verifier may leave unjudged at their deadline; then the run ends
    """

    def __init__(
        self,
        names: Iterable[str],
        make: Callable[[str], Judge],
        deadline_s: float,
        give_up: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._deadline_s, self._give_up, self._clock = make, deadline_s, give_up, clock
        self._done: SimpleQueue[Done] = SimpleQueue()
        self._missed: Counter[str] = Counter()
        self._lanes = {name: self._lane(name) for name in names}

    def judge(self, window: Window, write: Callable[[Ready], None], idle: Callable[[], None]) -> None:
        """Judge everything in the window's file; `write` gets verdicts in order, `idle` is called often in between.

        RunError or UserError if a verifier cannot start; RunError if it keeps missing its deadline.
        """
        window.fill()
        while not window.finished:
            for lane in self._lanes.values():
                if lane.idle and (batch := window.next_batch(lane.name)):
                    lane.give(batch, self._clock() + self._deadline_s)
            self._receive(window)
            self._look_at_deadlines(window)
            if ready := window.ready():
                write(ready)
                window.fill()
            idle()

    def close(self) -> None:
        """Let the verifiers close, side by side; those that do not are left."""
        end = self._clock() + _CLOSE_S
        for lane in self._lanes.values():
            lane.close(0.0)
        for lane in self._lanes.values():
            lane.close(max(0.0, end - self._clock()))

    def _lane(self, name: str) -> Lane:
        return Lane(name, self._make(name), self._done, self._clock() + self._deadline_s)

    def _receive(self, window: Window) -> None:
        try:
            done = self._done.get(timeout=_LOOK_EVERY_S)
        except Empty:
            return
        lane = done.lane
        if self._lanes.get(lane.name) is not lane:
            return  # it was given up, and its answers have their verdicts
        if done.batch is None and done.error is not None:
            if isinstance(done.error, UserError):
                raise done.error
            raise RunError(f"verifier {lane.name!r} cannot start: {_words(done.error)}") from done.error
        if done.batch is not None:
            self._missed[lane.name] = 0
            verdicts = done.verdicts
            if done.error is not None:
                verdicts = _infra(len(done.batch.places), f"verifier {lane.name!r} raised {_words(done.error)}")
            window.judged(done.batch, verdicts)
        lane.rest()

    def _look_at_deadlines(self, window: Window) -> None:
        for name, lane in self._lanes.items():
            if lane.deadline is None or self._clock() < lane.deadline:
                continue
            if lane.batch is None:
                raise RunError(f"verifier {name!r} did not start within {self._deadline_s:g} s (rewards.timeout_s)")
            n = len(lane.batch.places)
            cause = f"verifier {name!r} did not judge {n} answers within {self._deadline_s:g} s (rewards.timeout_s)"
            self._missed[name] += 1
            if self._missed[name] >= self._give_up:
                raise RunError(f"{cause}, {self._give_up} times in a row")
            window.judged(lane.batch, _infra(n, cause))
            lane.abandon()
            self._lanes[name] = self._lane(name)


def _infra(n: int, cause: str) -> list[Verdict]:
    return [Verdict.infra_error(Reason.INFRA, cause)] * n


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
