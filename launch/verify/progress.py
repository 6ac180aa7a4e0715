"""Progress of `reprise verify`."""

from __future__ import annotations

import sys

from rich.console import RenderableType
from rich.padding import Padding

from reprise.core.types import Status
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.layout import FREE
from reprise.launch.reporting.screen import Screen
from reprise.launch.verify.tally import Tally


class VerifyProgress(Screen):
    """Shows how many of `total` answers have a verdict. Written to stderr: stdout is for the table.

    done     verdicts that were there before; they do not count for the speed
    """

    def __init__(self, total: int, done: int) -> None:
        super().__init__(sys.stderr)
        self._total, self._before = total, done
        self._bar.update(self._task, total=total, completed=done)
        self._open()

    def show(self, tally: Tally) -> None:
        """What has been verified so far, the verdicts from before included."""
        seconds, done = self._clock() - self._started, tally.total - self._before
        speed = done / seconds if seconds > 0 else 0.0
        counts = [f"{status} {n:,}" for status in Status if (n := tally.all.statuses[status])]
        text = " · ".join(["verified", f"{speed:,.1f}/s", *counts])
        left = f" · eta {duration((self._total - tally.total) / speed)}" if speed > 0 else ""
        self._bar.update(self._task, completed=tally.total, text=text + left)
        if self._live is None and self._line_is_due():
            self._line(f"{tally.total:,}/{self._total:,} {text}")

    def _render(self) -> RenderableType:
        return Padding(self._bar, (0, FREE, 0, 0))
