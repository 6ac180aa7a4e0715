"""The display: plain lines in a log, a live panel on a terminal."""

import io
import math

import pytest
from rich.console import Console

from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.metrics import CORE
from reprise.launch.reporting.progress import Progress, sparkline


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


STEP = dict.fromkeys(CORE, 0.0) | {
    "time/step": 3.0,
    "reward/mean": 0.512,
    "reward/addition": 0.61,
    "reward/reversal": 0.41,
    "policy/entropy": 0.345,
    "reuse/fraction": 0.25,
    "throughput/tokens_per_second": 5210.0,
    "time/learner_idle": 0.12,
}
EVALUATION = {"eval/pass_at_1/all": 0.55, "eval/pass_at_1/addition": 0.6, "eval/pass_at_1_low/all": 0.5}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock) -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(log, clock) -> Progress:
    return Progress("demo", stream=log, clock=clock)


def test_a_log_gets_plain_lines_with_the_numbers_that_matter(progress, log):
    progress.phase("RL", total=80)
    progress.step(0, EVALUATION)
    progress.step(1, STEP)
    progress.close()
    text = log.getvalue()
    assert "\x1b" not in text
    for part in ("step 1/80", "reward 0.51 (addition 0.61 reversal 0.41)", "pass@1 0.550 (addition 0.60)", "reuse 25%",
                 "5,210", "learner idle 12%", "eta 3m57s"):  # fmt: skip
        assert part in text


def test_a_log_gets_one_line_every_few_seconds_and_always_the_first_and_the_last(progress, log, clock):
    progress.phase("RL", total=80)
    for step in range(1, 81):
        clock.now += 1.0
        progress.step(step, STEP)
    steps = [line.split("step ")[1].split("/")[0] for line in log.getvalue().splitlines() if "/80" in line]
    assert steps == ["1", "11", "21", "31", "41", "51", "61", "71", "80"]


def test_warm_start_progress_is_shown_with_its_text(progress, log, clock):
    progress.phase("warm start", total=100)
    clock.now += 11
    progress.advance(40, "loss 0.81")
    assert "warm start 40/100 loss 0.81" in log.getvalue()


def test_every_phase_is_timed_and_the_last_one_ends_with_the_run(progress, clock):
    progress.phase("set-up")
    clock.now += 5
    progress.phase("RL")
    clock.now += 7
    assert progress.phase_seconds == {"set-up": 5.0, "RL": 7.0}
    progress.close()
    clock.now += 100
    progress.close()
    assert progress.phase_seconds == {"set-up": 5.0, "RL": 7.0}


def test_a_phase_that_comes_back_adds_up(progress, clock):
    for seconds in (2, 3):
        progress.phase("RL")
        clock.now += seconds
    progress.phase("after-eval")
    assert progress.phase_seconds["RL"] == 5.0


def test_a_note_is_said_at_once(progress, log):
    progress.note("wandb failed [and brackets are not markup]")
    assert "wandb failed [and brackets are not markup]" in log.getvalue()


def test_a_path_is_printed_in_one_piece_and_is_no_markup(progress, log):
    path = f"/runs/[bold]/{'long/' * 50}report.html"
    progress.print(f"report   {path}")
    assert log.getvalue() == f"report   {path}\n"


def test_undefined_numbers_are_shown_as_a_dash(progress, log):
    progress.phase("RL", total=10)
    progress.step(1, STEP | {"policy/entropy": math.nan, "reward/mean": None})
    assert "entropy –" in log.getvalue()


def test_a_terminal_gets_a_live_panel_that_ends_cleanly(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    with Progress("demo", stream=terminal, clock=clock) as progress:
        progress.phase("set-up")
        progress.phase("RL", total=80)
        progress.step(1, STEP | EVALUATION)
        progress.note("something to know")
    text = terminal.getvalue()
    assert "\x1b[?25h" in text, "the cursor must be shown again"
    for part in ("demo", "set-up", "reward", "pass@1", "something to know"):
        assert part in text


def test_a_dumb_terminal_gets_plain_lines(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with Progress("demo", stream=terminal, clock=clock) as progress:
        progress.phase("set-up")
    assert terminal.getvalue() == "[    0s] set-up\n"


def test_the_panel_fits_a_narrow_terminal(progress):
    progress.phase("RL", total=80)
    progress.step(1, STEP | EVALUATION)
    stream = io.StringIO()
    Console(file=stream, width=60, color_system=None).print(progress._render())
    assert all(len(line) <= 60 for line in stream.getvalue().splitlines())


def rows(progress: Progress, width: int = 100) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(progress._render())
    return stream.getvalue().splitlines()


def test_only_phases_that_will_come_are_shown_as_such_and_none_when_it_is_over(log, clock):
    progress = Progress("demo", stream=log, clock=clock, phases=["set-up", "RL", "export"])
    progress.phase("set-up")
    assert "◉ set-up 0s   ○ RL   ○ export" in rows(progress)[1]
    progress.phase("RL")
    progress.close()
    assert "● set-up 0s   ● RL 0s" in rows(progress)[1]
    assert "export" not in rows(progress)[1]


def test_an_echoed_ctrl_c_finds_space_beside_the_panel(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    progress = Progress("demo", stream=Terminal(), clock=clock)
    progress.close()
    assert max(map(len, rows(progress, 80))) <= 80 - len("^C")


def test_the_clock_and_the_first_phase_begin_with_the_command(log, clock):
    progress = Progress("demo", stream=log, clock=clock, started=clock.now - 12)
    progress.phase("set-up")
    clock.now += 3
    progress.phase("RL")
    assert progress.phase_seconds == {"set-up": 15.0, "RL": 0.0}
    assert "[   15s] RL" in log.getvalue()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0s"), (59.6, "1m00s"), (200, "3m20s"), (7500, "2h05m"), (math.nan, "–"), (math.inf, "–")],
)
def test_durations_read_naturally(seconds, shown):
    assert duration(seconds) == shown


def test_a_sparkline_runs_from_lowest_to_highest_and_skips_what_is_not_a_number():
    assert sparkline([0.0, math.nan, 1.0], 10) == "▁ █"
    assert sparkline([2.0, 2.0], 10) == "▁▁"
    assert len(sparkline([float(i) for i in range(50)], 10)) == 10
