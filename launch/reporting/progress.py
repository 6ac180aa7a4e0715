"""What users see during a run."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import SupportsFloat, TextIO

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reprise.core.printable import printable
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.screen import Screen

PHASES = ("set-up", "warm start", "before-eval", "RL", "after-eval", "export")
_BARS = "▁▂▃▄▅▆▇█"


class Progress(Screen):
    """Shows phases, steps and notes, and remembers how long each phase took.

    phases   those to come, in order; the first counts from `started`
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
        super().__init__(stream or sys.stdout, every_s=every_s, clock=clock, started=started)
        self.name = name
        self._phases = tuple(phases)
        self._phase, self._phase_started, self._done, self._total = "", self._started, 0, 0
        self._seconds: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._rewards: list[float] = []
        self._recent: list[float] = []  # seconds of the last steps, for the estimate
        self._open()

    def phase(self, name: str, total: int = 0) -> None:
        """Begin a phase (usually one of `phases`), of `total` steps if known. The phase before it ends here."""
        began = self._clock() if self._phase or self._seconds else self._started
        self._end_phase()
        self._phase, self._phase_started, self._done, self._total = name, began, 0, total
        self._bar.reset(self._task, total=total, text="")
        self._line(f"{name}{f' ({total} steps)' if total else ''}")

    def advance(self, done: int, text: str = "") -> None:
        """`done` of the phase's total are done; for phases other than RL (steps before RL, evaluated responses)."""
        self._done = done
        self._bar.update(self._task, completed=done, text=text)
        if self._line_is_due(at_once=done == self._total):
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
        self._bar.update(self._task, completed=step, text=f"eta {duration(self._eta())}")
        if self._line_is_due(at_once=step == self._total or len(self._rewards) == 1):
            self._line(self._compact())

    @property
    def phase_seconds(self) -> dict[str, float]:
        """Seconds of every phase so far, in order, the current one included."""
        now = {self._phase: self._clock() - self._phase_started} if self._phase else {}
        return {p: self._seconds.get(p, 0.0) + now.get(p, 0.0) for p in (*self._seconds, *now)}

    def close(self) -> None:
        """End the current phase and the live display, which then shows the phases there were. Safe to call twice."""
        self._end_phase()
        self._phases = tuple(self._seconds)
        super().close()

    def _end_phase(self) -> None:
        self._seconds, self._phase = self.phase_seconds, ""

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
            Group(self._phases_row(), *([self._bar] if self._total else []), *self._number_rows()),
            title=Text.assemble(("reprise", "bold"), " ", self.name),
            subtitle=duration(self._clock() - self._started),
            title_align="left",
            subtitle_align="right",
            width=self._width,
        )

    def _phases_row(self) -> Text:
        seconds, row = self.phase_seconds, Text()
        for phase in (*self._phases, *(p for p in seconds if p not in self._phases)):
            took = f" {duration(seconds[phase])}" if phase in seconds else ""
            mark, style = ("◉", "bold cyan") if phase == self._phase else ("●", "green") if took else ("○", "dim")
            row.append(f"{mark} {phase}{took}   ", style)
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
