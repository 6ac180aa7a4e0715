"""What users see while a command works: a live display on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from reprise.core.printable import printable_lines
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.layout import FREE, console


class Screen(ABC):
    """A terminal gets what `_render` returns, anything else (job logs, CI) lines without control codes.

    stream   where to write
    clock    seconds, monotonic
    started  when the command began, by that clock; now if None
    every_s  seconds between two lines that say how far it is
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ) -> None:
        self._stream, self._every_s, self._clock = stream, every_s, clock
        self._last_line = clock()
        self._started = self._last_line if started is None else started
        self._console = console(stream)
        self._width = max(1, self._console.width - FREE)
        self._live: Live | None = None
        self._bar = Progress(
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            TextColumn("{task.fields[text]}", markup=False, table_column=Column()),  # it may take several lines
            console=self._console,
            expand=True,
        )
        self._task = self._bar.add_task("", text="")

    def _open(self) -> None:
        """Start the live display, if there is to be one."""
        if self._stream.isatty() and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)
            self._live.start()

    @abstractmethod
    def _render(self) -> RenderableType:
        """The live display, `_width` columns wide."""

    def note(self, text: str) -> None:
        """Say something once, above the display."""
        if self._live:
            self._console.print(Text(f"{self._elapsed()} {printable_lines(text)}"))
        else:
            self._line(printable_lines(text))

    def print(self, renderable: RenderableType) -> None:
        """Print a rich renderable, such as the final table, or a text as it is."""
        if isinstance(renderable, str):
            renderable = Text(printable_lines(renderable))
            self._console.print(renderable, soft_wrap=True)  # a path is copied from here
        else:
            self._console.print(renderable)

    def close(self) -> None:
        """End the live display. Safe to call twice."""
        if self._live:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _elapsed(self) -> str:
        return f"[{duration(self._clock() - self._started):>6}]"

    def _line(self, text: str) -> None:
        if self._live is None:
            print(self._elapsed(), text, file=self._stream, flush=True)

    def _line_is_due(self, at_once: bool = False) -> bool:
        now = self._clock()
        if not (at_once or now - self._last_line >= self._every_s):
            return False
        self._last_line = now
        return True
