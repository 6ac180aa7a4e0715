"""How far `reprise verify` is: a line now and then in a log, a bar on a terminal."""

import io
import sys

import pytest

from reprise.core.types import Status
from reprise.launch.verify.progress import VerifyProgress
from reprise.launch.verify.tally import Tally
from reprise.launch.verify.verdicts import Recorded


def tally(count: int) -> Tally:
    made = Tally()
    for number in range(count):
        made.add("sums", Recorded(str(number), Status.SCORED, 1.0, "correct"))
    return made


def test_a_log_gets_a_line_after_ten_seconds_whose_speed_counts_what_is_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with VerifyProgress(1000, done=100) as progress:
        progress.show(tally(110))
        monkeypatch.setattr(progress, "_clock", lambda began=progress._started: began + 10.0)
        progress.show(tally(150))
        progress.show(tally(160))
    assert capsys.readouterr() == ("", "[   10s] 150/1,000 verified · 5.0/s · scored 150\n")


def test_a_terminal_gets_a_bar_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with VerifyProgress(1000, done=100) as progress:
        monkeypatch.setattr(progress, "_clock", lambda began=progress._started: began + 10.0)
        progress.show(tally(150))
        progress.note("something to know")
    for part in ("150/1000", "verified · 5.0/s · scored 150 · eta 2m50s", "[   10s] something to know", "\x1b[?25h"):
        assert part in terminal.getvalue()
