"""The answers in hand: read in order, verified in any order, written in order. Free of threads, clock and files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reprise.core.types import Verdict
from reprise.rewards.base import Answer


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers that one verifier verifies in one call, with their places in the window's order."""

    verifier: str
    places: Sequence[int]
    answers: Sequence[Answer]


class Window:
    """At most `size` answers between the first without a verdict and the last that was read.

    size        bounds both memory and what a killed run has to verify again
    batch_size  answers handed to a verifier at a time
    """

    def __init__(self, answers: Iterator[Answer], size: int, batch_size: int) -> None:
        self._answers, self._size, self._batch_size = answers, size, batch_size
        self._read = self._written = 0
        self._exhausted = False
        self._waiting: dict[str, deque[tuple[int, Answer]]] = {}
        self._held: dict[int, Answer] = {}
        self._verdicts: dict[int, Verdict] = {}

    @property
    def finished(self) -> bool:
        """Every answer has been read and its verdict handed out."""
        return self._exhausted and self._written == self._read

    def fill(self) -> None:
        """Read on until the window is full or the answers end."""
        while not self._exhausted and self._read - self._written < self._size:
            answer = next(self._answers, None)
            if answer is None:
                self._exhausted = True
                return
            self._waiting.setdefault(answer.task.verifier, deque()).append((self._read, answer))
            self._held[self._read] = answer
            self._read += 1

    def next_batch(self, verifier: str) -> Batch | None:
        """The earliest answers that wait for this verifier; None if there are none."""
        waiting = self._waiting.get(verifier)
        if not waiting:
            return None
        taken = [waiting.popleft() for _ in range(min(self._batch_size, len(waiting)))]
        return Batch(verifier, [place for place, _ in taken], [answer for _, answer in taken])

    def verified(self, batch: Batch, verdicts: Sequence[Verdict]) -> None:
        """The verdicts of a batch, in its order."""
        self._verdicts |= zip(batch.places, verdicts, strict=True)

    def ready(self) -> list[tuple[Answer, Verdict]]:
        """The answers that are next in order, with their verdicts; handed out once."""
        ready = []
        while self._written in self._verdicts:
            ready.append((self._held.pop(self._written), self._verdicts.pop(self._written)))
            self._written += 1
        return ready
