"""Progress of `reprise verify`: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from reprise.core.printable import printable_lines
from reprise.core.types import Status
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.layout import FREE, console
from reprise.launch.verify.tally import Tally


class VerifyProgress:
    """Shows how many of `total` answers have a verdict. Written to stderr: stdout is for the table.

    done     verdicts that were there before; they do not count for the speed
    every_s  seconds between the lines of a log
    """

    def __init__(
        self,
        total: int,
        done: int,
        stream: TextIO | None = None,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._total, self._before, self._every_s, self._clock = total, done, every_s, clock
        self._started = self._last_line = clock()
        own = console(self._stream)
        self._bar: Progress | None = None
        if self._stream.isatty() and not own.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("verifying"),
                BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}", table_column=Column(ratio=2)),  # which may take several lines
                TimeRemainingColumn(),
                console=Console(file=self._stream, width=max(1, own.width - FREE)),
                expand=True,
            )
            self._task = self._bar.add_task("", total=total, completed=done, text="")
            self._bar.start()

    def show(self, tally: Tally) -> None:
        """What has been verified so far, the verdicts from before included."""
        seconds = self._clock() - self._started
        speed = (tally.total - self._before) / seconds if seconds > 0 else 0.0
        counts = " · ".join(f"{status} {n:,}" for status in Status if (n := tally.all.statuses[status]))
        text = f"{speed:,.1f}/s · {counts}" if counts else f"{speed:,.1f}/s"
        if self._bar:
            self._bar.update(self._task, completed=tally.total, text=text)
        elif self._clock() - self._last_line >= self._every_s:
            self._last_line = self._clock()
            print(f"[{duration(seconds):>6}] {tally.total:,}/{self._total:,} verified · {text}", file=self._stream)

    def note(self, text: str) -> None:
        """Say something once, above the bar."""
        text = printable_lines(text)
        if self._bar:
            self._bar.console.print(Text(text))
        else:
            print(f"[{duration(self._clock() - self._started):>6}] {text}", file=self._stream, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
