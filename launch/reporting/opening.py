"""What a command says before there is a run to show."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from reprise.launch.reporting.durations import duration


class Opening:
    """The moment a command began, and what it says of the seconds that follow: libraries alone take ten of them, and a
    command that is silent all that time looks as if it hung.

    clock   seconds, monotonic
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.started = clock()

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return self._clock() - self.started

    def say(self, text: str) -> None:
        """A line of a run's log."""
        print(f"[{duration(self.seconds):>6}] {text}", flush=True)

    def hint(self, text: str) -> None:
        """The same of a command whose output is a document: beside it, and only where somebody watches."""
        if sys.stderr.isatty():
            print(text, file=sys.stderr, flush=True)
