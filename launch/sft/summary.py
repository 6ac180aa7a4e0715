"""What a supervised run came to: `summary.json` for programs, one table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise

from rich import box
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from buffer.printable import printable
from launch.progress import duration
from launch.run_folder import RunFolder, write_atomically
from launch.summary import ending, without_nan


@dataclass(slots=True)
class StageResult:
    """A stage as far as it came. Losses are nats a token; `eval_loss` is by domain, at its end."""

    name: str
    steps: int
    tokens: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    eval_loss: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SftSummary:
    """Filled in as the run goes on, so that an interrupted run can be summed up too.

    status          "finished", "interrupted" or "failed"; `reason` says why if not finished
    eval_before     held-out loss by domain before the first step, nats a token
    tokens_per_second   read a second of the training phase
    resumed_at      step of the checkpoint it went on from; None if it began at the beginning
    failures        counts of what went wrong without ending the run
    """

    name: str
    kind: str = "sft"
    status: str = "interrupted"
    reason: str = "the run did not reach its end"
    steps: int = 0
    stages: list[StageResult] = field(default_factory=list)
    eval_before: Mapping[str, float] = field(default_factory=dict)
    tokens_trained: int = 0
    tokens_per_second: float = 0.0
    wall_seconds: float = 0.0
    learn_seconds: float = 0.0
    resumed_at: int | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    nodes: Mapping[str, list[str]] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def finished(self) -> None:
        """The run reached its end."""
        self.status, self.reason = "finished", ""

    def failed(self, error: BaseException) -> None:
        """The run was ended by `error`; Ctrl-C is an interruption."""
        self.status, self.reason = ending(error)

    @property
    def forgotten(self) -> list[str]:
        """Domains whose held-out loss rose from the end of one stage to the end of a later one, in words."""
        ends = [stage for stage in self.stages if stage.eval_loss]
        return [
            f"{domain}: {before.eval_loss[domain]:.4f} after {before.name}, {after.eval_loss[domain]:.4f} after "
            f"{after.name}"
            for before, after in pairwise(ends)
            for domain in after.eval_loss
            if domain in before.eval_loss and after.eval_loss[domain] > before.eval_loss[domain]
        ]

    def write(self, run: RunFolder) -> None:
        """Write `summary.json`, whole or not at all."""
        values = asdict(self) | {"forgotten": self.forgotten}
        write_atomically(run.summary, json.dumps(without_nan(values), indent=2, allow_nan=False) + "\n")

    def table(self) -> RenderableType:
        """Everything a person wants to know at the end."""
        verdict = f"{self.name}: {self.status} after {self.steps} steps, {duration(self.wall_seconds)}"
        parts: list[RenderableType] = [Text(verdict, style="bold")]
        if self.eval_before or any(stage.eval_loss for stage in self.stages):
            parts.append(self._losses())
        parts.append(self._numbers())
        parts += [Text(printable(f"Forgotten: {text}"), style="yellow") for text in self.forgotten]
        return Group(*parts)

    def _losses(self) -> Table:
        """Held-out loss: a row a domain, a column a stage."""
        ends = [stage for stage in self.stages if stage.eval_loss]
        after = (Column(Text(printable(f"after {s.name}"))) for s in ends)
        table = Table("held-out loss, nats/token", "before", *after, box=box.SIMPLE_HEAD)
        for column in table.columns[1:]:
            column.justify = "right"
        for domain in dict.fromkeys([*self.eval_before, *(d for s in ends for d in s.eval_loss)]):
            values = [self.eval_before.get(domain), *(s.eval_loss.get(domain) for s in ends)]
            table.add_row(Text(printable(domain)), *(_loss(value) for value in values))
        return table

    def _numbers(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for stage in self.stages:
            table.add_row(
                Text(printable(f"stage {stage.name}")),
                f"{stage.steps} steps, {stage.tokens:,} tokens trained, loss {_loss(stage.first_loss)} → "
                f"{_loss(stage.last_loss)}",
            )
        table.add_row(
            "throughput", f"{self.tokens_per_second:,.0f} tokens/s, {duration(self.learn_seconds)} of learning"
        )
        if self.resumed_at is not None:
            table.add_row("resumed", f"from the checkpoint of step {self.resumed_at}")
        counted = {name: count for name, count in self.failures.items() if count}
        table.add_row("failures", " · ".join(f"{n} {c}" for n, c in counted.items()) or "none counted")
        return table


def _loss(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"
