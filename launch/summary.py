"""What a run came to: `summary.json` for programs, one table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from buffer.printable import printable, printable_lines
from buffer.types import Status
from launch.judging import Latency
from launch.progress import duration
from launch.run_folder import RunFolder, write_atomically
from launch.statistics import Estimate, Evaluation, changes, compared
from rewards.infra_errors import InfraErrors

_INFRA_ERRORS_SHOWN = 3  # with their tracebacks in the table; summary.json has all


@dataclass(slots=True)
class TrajectoryCounts:
    """Trajectories of the whole run.

    sampled         responses that an engine finished for training
    trained         trajectories in the learner's batches; one that was in two batches counts twice
    reused          those of `trained` that had been in a batch before
    unparseable, infra_error   masked, and why
    zero_variance   in groups that were rejected because every score was the same
    truncated       cut off by the token limit
    """

    sampled: int = 0
    trained: int = 0
    reused: int = 0
    unparseable: int = 0
    zero_variance: int = 0
    infra_error: int = 0
    truncated: int = 0

    @property
    def reuse_share(self) -> float:
        return self.reused / self.trained if self.trained else 0.0


@dataclass(slots=True)
class Summary:
    """Filled in as the run goes on, so that an interrupted run can be summed up too.

    learn_seconds   time the learner spent in passes and optimiser steps
    mismatch_start  mean absolute difference of engine and learner log-probabilities at the start, nats a token
    overlap         learner-busy time during which an engine step ran ÷ learner-busy time
    nodes           names of the actors on each Ray node
    phases          seconds by phase, in order
    learner_idle, engine_idle   shares of the RL phase
    status          "finished", "interrupted" or "failed"; `reason` says why if not finished
    failures        counts of what went wrong without ending the run (skipped steps, tracking, ...), by name
    infra_errors    what kept answers from being judged, in training and in evaluations
    answers         answers judged for training, by domain and status; unparseable ones whether masked or scored 0
    verifiers       seconds a group, by verifier
    warnings        what the run warned of, in order
    """

    name: str
    status: str = "interrupted"  # until the run says that it is finished
    reason: str = "the run did not reach its end"
    before: Evaluation | None = None
    after: Evaluation | None = None
    steps: int = 0
    wall_seconds: float = 0.0
    learn_seconds: float = 0.0
    mismatch_start: float | None = None
    trajectories: TrajectoryCounts = field(default_factory=TrajectoryCounts)
    tokens_per_second: float = 0.0
    overlap: float = 0.0
    learner_idle: float | None = None
    engine_idle: float | None = None
    nodes: Mapping[str, list[str]] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    infra_errors: InfraErrors = field(default_factory=InfraErrors)
    answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    verifiers: Mapping[str, Latency] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def finished(self) -> None:
        """The run reached its end."""
        self.status, self.reason = "finished", ""

    def failed(self, error: BaseException) -> None:
        """The run was ended by `error`; Ctrl-C is an interruption."""
        self.status, self.reason = ending(error)

    @property
    def evaluations(self) -> dict[str, Evaluation | None]:
        """`before` and `after`; if both were measured, over the tasks that were judged in both."""
        before, after = compared(self.before, self.after) if self.before and self.after else (self.before, self.after)
        return {"before": before, "after": after}

    @property
    def changes(self) -> dict[str, Estimate]:
        """pass@1 after − before with its 95% interval, by domain and `all`; empty unless both were measured."""
        before, after = self.evaluations.values()
        return changes(before, after) if before and after else {}

    @property
    def fallen(self) -> list[str]:
        """Domains whose pass@1 fell beyond the 95% interval."""
        return [domain for domain, change in self.changes.items() if change.high < 0]

    def as_dict(self) -> dict[str, Any]:
        """What `summary.json` holds. What was not measured is null or an empty object."""
        evaluations = self.evaluations
        return without_nan(
            {
                "name": self.name,
                "status": self.status,
                "reason": self.reason,
                "pass_at_1": {when: e.pass_at_1 if e else {} for when, e in evaluations.items()},
                "pass_at_1_interval": {
                    when: {d: [r.pass_at_1.low, r.pass_at_1.high] for d, r in e.domains.items()} if e else {}
                    for when, e in evaluations.items()
                },
                "pass_at_1_change": {d: asdict(change) for d, change in self.changes.items()},
                "fallen": self.fallen,
                "evaluation": {
                    when: {d: _shares(e, d) for d in e.domains} if e else {} for when, e in evaluations.items()
                },
                "steps": self.steps,
                "wall_seconds": self.wall_seconds,
                "learn_seconds": self.learn_seconds,
                "mismatch_start": self.mismatch_start,
                "trajectories": asdict(self.trajectories),
                "tokens_per_second": self.tokens_per_second,
                "overlap": self.overlap,
                "learner_idle": self.learner_idle,
                "engine_idle": self.engine_idle,
                "nodes": dict(self.nodes),
                "phases": dict(self.phases),
                "failures": dict(self.failures),
                "infra_errors": [
                    {"what": f.what, "answers": f.answers, "traceback": f.traceback} for f in self.infra_errors
                ],
                "answers": {domain: dict(counts) for domain, counts in self.answers.items()},
                "verifiers": {name: asdict(latency) for name, latency in self.verifiers.items()},
                "warnings": list(self.warnings),
            }
        )

    def write(self, run: RunFolder) -> None:
        """Write `summary.json`, whole or not at all."""
        write_atomically(run.summary, json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n")

    def table(self) -> RenderableType:
        """The table at the end of a run."""
        good = self.status == "finished"
        head = Text(f"{self.name}: {self.status}", "bold green" if good else "bold red")
        head.append(f" after {self.steps} steps, {duration(self.wall_seconds)}", "none")
        if self.reason:
            head.append(f"\n{printable_lines(self.reason)}", "red")
        return Group(Text(), head, self._evaluation_table(), self._numbers_table())

    def _evaluation_table(self) -> RenderableType:
        before_all, after_all = self.evaluations.values()
        if not before_all:
            return Text("held-out pass@1 was not measured", "dim")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("held-out pass@1")
        for column in (
            "before",
            "95% interval",
            "after",
            "95% interval",
            "change",
            "95% interval",
            "parseable",
            "tasks",
        ):
            table.add_column(column, justify="right", style="dim" if column == "95% interval" else None)
        differences = self.changes
        for domain, before in before_all.domains.items():
            after = after_all.domains.get(domain) if after_all else None
            shown = [f"{before.pass_at_1.value:.3f}", interval(before.pass_at_1)]
            shown += [f"{after.pass_at_1.value:.3f}", interval(after.pass_at_1)] if after else ["–", ""]
            change = differences.get(domain)
            shown += [points(change.value), f"{points(change.low)} … {points(change.high)}"] if change else ["–", ""]
            parseable = f"{before.parseable:.1%}" + (f" → {after.parseable:.1%}" if after else "")
            style = "bold" if domain == "all" else "red" if domain in self.fallen else None
            tasks = f"{before.tasks}{f' of {before.asked}' if before.tasks < before.asked else ''}"
            table.add_row(Text(printable(domain)), *shown, parseable, tasks, style=style)
        return table

    def _numbers_table(self) -> RenderableType:
        counts = self.trajectories
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        table.add_row("time", "  ".join(f"{name} {duration(s)}" for name, s in self.phases.items()) or "–")
        table.add_row(
            "RL",
            f"learning {duration(self.learn_seconds)}  overlap {self.overlap:.0%}  "
            f"learner idle {_share(self.learner_idle)}  engine idle {_share(self.engine_idle)}  "
            f"{self.tokens_per_second:,.0f} tokens/s",
        )
        table.add_row(
            "trajectories",
            f"{counts.sampled:,} sampled  {counts.trained:,} trained, {counts.reuse_share:.0%} of them reused",
        )
        table.add_row(
            "left out",
            f"{counts.zero_variance:,} without variance  {counts.unparseable:,} unparseable  "
            f"{counts.infra_error:,} infra errors  {counts.truncated:,} truncated",
        )
        shares = {domain: _unparseable(of_domain) for domain, of_domain in self.answers.items()}
        unparseable = "  ".join(f"{d} {share:.1%}" for d, share in shares.items()) or "–"
        table.add_row("unparseable", Text(printable(unparseable)))
        times = (f"{name} {t.p50:.2g} s a group (95%: {t.p95:.2g} s)" for name, t in self.verifiers.items())
        table.add_row("verifiers", "  ".join(times) or "–")
        mismatch = "–" if self.mismatch_start is None else f"{self.mismatch_start:.1e} nats/token at start"
        table.add_row("mismatch", mismatch)
        table.add_row("nodes", "  ".join(f"{node}: {len(actors)} actors" for node, actors in self.nodes.items()) or "–")
        failures = {name: count for name, count in self.failures.items() if count}
        table.add_row("failures", "  ".join(f"{n} {count}" for n, count in failures.items()) or "none")
        for number, failure in enumerate(self.infra_errors):
            said = Text(f"{failure.answers:,} answers: {failure.what}", "red")
            if failure.traceback and number < _INFRA_ERRORS_SHOWN:
                said.append(f"\n{failure.traceback}", "dim")
            table.add_row("infra error", said)
        if self.infra_errors.others:
            table.add_row("infra error", f"{self.infra_errors.others:,} answers: of further kinds, which were not told")
        for warning in self.warnings:
            table.add_row("warning", Text(printable_lines(warning), "yellow"))
        return table


def points(share: float) -> str:
    """A difference of shares in percentage points: `+27.3`."""
    return f"{100 * share:+.1f}"


def interval(estimate: Estimate) -> str:
    """`0.42–0.51`."""
    return f"{estimate.low:.2f}–{estimate.high:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _unparseable(counts: Mapping[str, int]) -> float:
    return counts.get(Status.UNPARSEABLE, 0) / (sum(counts.values()) or math.nan)


def _shares(evaluation: Evaluation, domain: str) -> dict[str, float | int]:
    result = evaluation.domains[domain]
    names = ("parseable", "truncated", "tokens_mean", "tasks", "asked", "samples")
    return {name: getattr(result, name) for name in names}


def ending(error: BaseException) -> tuple[str, str]:
    """Status and reason of a run that an error ended; Ctrl-C is an interruption."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Ctrl-C"
    return "failed", f"{type(error).__name__}: {error}"


def without_nan(value: Any) -> Any:
    """The value with null for every number that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
