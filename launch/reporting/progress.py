"""What a person sees while a run goes on: a live display on a terminal, plain lines in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import SupportsFloat, TextIO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reprise.core.printable import printable, printable_lines
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.layout import FREE, console

PHASES = ("set-up", "warm start", "before-eval", "RL", "after-eval", "export")
_BARS = "▁▂▃▄▅▆▇█"


class Progress:
    """Shows phases, steps and notes, and remembers how long each phase took.

    stream   where to write; a terminal gets a live display, anything else (job logs, CI) one compact line every
             `every_s` seconds without control codes
    clock    seconds, monotonic
    started  when the command began, by that clock; now if None. The first phase counts from there
    phases   those to come, in order
    """

    def __init__(
        self,
        name: str,
        *,
        phases: Sequence[str] = PHASES,
        stream: TextIO | None = None,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ) -> None:
        self.name = name
        self._phases = tuple(phases)
        self._stream = stream or sys.stdout
        self._clock, self._every_s = clock, every_s
        self._last_line = clock()
        self._started = self._last_line if started is None else started
        self._phase, self._phase_started, self._done, self._total, self._text = "", self._started, 0, 0, ""
        self._seconds: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._rewards: list[float] = []
        self._recent: list[float] = []  # seconds of the last steps, for the estimate
        self._console = console(self._stream)
        self._live: Live | None = None
        if self._stream.isatty() and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)
            self._live.start()

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase (usually one of `phases`), of `total` steps if known. The phase before it ends here."""
        began = self._clock() if self._phase or self._seconds else self._started
        self._end_phase()
        self._phase, self._phase_started, self._done, self._total, self._text = name, began, 0, total, ""
        self._line(f"{name}{f' ({total} steps)' if total else ''}")

    def advance(self, done: int, text: str = "") -> None:
        """`done` of the phase's total are done; for phases other than RL (warm-start steps, evaluated responses)."""
        self._done, self._text = done, text
        if self._line_is_due(last=done == self._total):
            self._line(f"{self._phase} {_of(done, self._total)} {text}".rstrip())

    def step(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Show one RL step, or an evaluation (`eval/` names only), named as in launch/reporting/metrics.py."""
        numbers = {name: float(value) for name, value in metrics.items() if value is not None}
        self._metrics = self._metrics | numbers  # replaced, not changed: the live display reads it from its own thread
        if "time/step" not in numbers:
            over = f" over {numbers['eval/tasks/all']:.0f} tasks" if "eval/tasks/all" in numbers else ""
            self._line(f"step {step} held-out {_pass_at_1(numbers)}{over}")
            return
        self._done = step
        self._rewards.append(numbers.get("reward/mean", math.nan))
        self._recent = [*self._recent, numbers["time/step"]][-10:]
        if self._line_is_due(last=step == self._total, first=len(self._rewards) == 1):
            self._line(self._compact())

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

    @property
    def phase_seconds(self) -> dict[str, float]:
        """Seconds of every phase so far, in order, the current one included."""
        now = {self._phase: self._clock() - self._phase_started} if self._phase else {}
        return {p: self._seconds.get(p, 0.0) + now.get(p, 0.0) for p in (*self._seconds, *now)}

    def close(self) -> None:
        """End the current phase and the live display, which then shows the phases there were. Safe to call twice."""
        self._end_phase()
        self._phases = tuple(self._seconds)
        if self._live:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end_phase(self) -> None:
        self._seconds, self._phase = self.phase_seconds, ""

    def _elapsed(self) -> str:
        return f"[{duration(self._clock() - self._started):>6}]"

    def _line(self, text: str) -> None:
        if self._live is None:
            print(self._elapsed(), text, file=self._stream, flush=True)

    def _line_is_due(self, last: bool, first: bool = False) -> bool:
        now = self._clock()
        if not (first or last or now - self._last_line >= self._every_s):
            return False
        self._last_line = now
        return True

    def _eta(self) -> float:
        return max(0, self._total - self._done) * sum(self._recent) / len(self._recent) if self._recent else math.nan

    def _compact(self) -> str:
        m = self._metrics
        parts = [
            f"step {_of(self._done, self._total)}",
            f"reward {_number(m.get('reward/mean'), '.2f')} ({_domains(m, 'reward/', 'mean')})",
            _pass_at_1(m),
            *(f"{label} {_number(m.get(name), spec)}" for label, name, spec in _NUMBERS),
            f"{_number(m.get('time/step'), '.1f')} s/step",
            f"eta {duration(self._eta())}",
        ]
        return " · ".join(part for part in parts if part)

    def _render(self) -> RenderableType:
        return Panel(
            Group(self._phases_row(), *([self._bar_row()] if self._total else []), *self._number_rows()),
            title=Text.assemble(("reprise", "bold"), " ", self.name),
            subtitle=duration(self._clock() - self._started),
            title_align="left",
            subtitle_align="right",
            width=max(1, self._console.width - FREE),
        )

    def _phases_row(self) -> Text:
        seconds, row = self.phase_seconds, Text()
        for phase in (*self._phases, *(p for p in seconds if p not in self._phases)):
            took = f" {duration(seconds[phase])}" if phase in seconds else ""
            mark, style = ("◉", "bold cyan") if phase == self._phase else ("●", "green") if took else ("○", "dim")
            row.append(f"{mark} {phase}{took}   ", style)
        return row

    def _bar_row(self) -> Table:
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True)
        left = f"eta {duration(self._eta())}" if self._phase == "RL" else self._text
        row.add_row(_of(self._done, self._total), ProgressBar(total=self._total, completed=self._done), Text(left))
        return row

    def _number_rows(self) -> list[RenderableType]:
        m = self._metrics
        if not m:
            return []
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        if self._rewards:
            mean = (_number(m.get("reward/mean"), ".3f"), "bold")
            domains = _domains(m, "reward/", "mean")
            table.add_row("reward", Text.assemble(mean, "  ", (sparkline(self._rewards, 32), "cyan"), "  ", domains))
        if any(name.startswith("eval/pass_at_1/") for name in m):
            table.add_row("pass@1", Text(_pass_at_1(m).removeprefix("pass@1 ")))
        if self._rewards:
            numbers = Table.grid(padding=(0, 3))
            shown = [Text.assemble((f"{name} ", "dim"), _number(m.get(key), spec)) for name, key, spec in _NUMBERS]
            numbers.add_row(*shown[:4])
            numbers.add_row(*shown[4:])
            table.add_row("", numbers)
        return [Text(), table]


_NUMBERS = (
    ("entropy", "policy/entropy", ".3f"),
    ("mismatch", "policy/mismatch_kl", ".1e"),
    ("grad", "optim/grad_norm", ".2f"),
    ("length", "tokens/response_mean", ".0f"),
    ("reuse", "reuse/fraction", ".0%"),
    ("tokens/s", "throughput/tokens_per_second", ",.0f"),
    ("learner idle", "time/learner_idle", ".0%"),
    ("engine idle", "time/engine_idle", ".0%"),
)


def sparkline(values: list[float], width: int) -> str:
    """The last `width` values as bars from their lowest to their highest; a blank where a value is not a number."""
    shown = values[-width:]
    finite = [v for v in shown if math.isfinite(v)]
    low, span = min(finite, default=0.0), (max(finite, default=0.0) - min(finite, default=0.0)) or 1.0
    return "".join(_BARS[round((v - low) / span * 7)] if math.isfinite(v) else " " for v in shown)


def _of(done: int, total: int) -> str:
    return f"{done}/{total}" if total else str(done)


def _number(value: float | None, spec: str) -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, spec)


def _domains(metrics: Mapping[str, float], prefix: str, leave_out: str) -> str:
    domains = sorted(name for name in metrics if name.startswith(prefix) and name != prefix + leave_out)
    return " ".join(f"{printable(name.removeprefix(prefix))} {_number(metrics[name], '.2f')}" for name in domains)


def _pass_at_1(metrics: Mapping[str, float]) -> str:
    if "eval/pass_at_1/all" not in metrics:
        return ""
    by_domain = _domains(metrics, "eval/pass_at_1/", "all")
    return f"pass@1 {_number(metrics['eval/pass_at_1/all'], '.3f')} ({by_domain})"
