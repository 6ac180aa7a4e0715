"""What a run came to: `summary.json` for programs, one table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from rich.console import RenderableType

from reprise.core.errors import RunError
from reprise.launch.reporting.run_folder import RunFolder, write_atomically
from reprise.launch.reporting.statistics import Estimate, Evaluation, changes, compared, fallen
from reprise.launch.reporting.summary_table import table
from reprise.launch.reporting.verifiers import Latency
from reprise.rewards.infra_errors import InfraErrors

RUNNING = {"status": "running", "reason": ""}


@dataclass(slots=True)
class TrajectoryCounts:
    """Trajectories of the whole run.

    sampled         responses that an engine finished for training
    trained         trajectories in the learner's batches; one that was in two batches counts twice
    reused          those of `trained` that had been in a batch before
    unparseable, infra_error   masked, and why
    zero_variance   in groups that were rejected because every score was the same
    truncated       cut off by the token limit
    invalid_logprobs   masked: the engine recorded a log-probability that is not finite or above 0
    """

    sampled: int = 0
    trained: int = 0
    reused: int = 0
    unparseable: int = 0
    zero_variance: int = 0
    infra_error: int = 0
    truncated: int = 0
    invalid_logprobs: int = 0

    @property
    def reuse_share(self) -> float:
        return self.reused / self.trained if self.trained else 0.0


@dataclass(slots=True)
class Summary:
    """Filled in as the run goes on, so that an interrupted run can be summed up too. None is what was not measured.

    learn_seconds   time the learner spent in passes and optimiser steps
    mismatch_start  mean absolute difference of engine and learner log-probabilities at the start, nats a token
    overlap         learner-busy time during which an engine step ran ÷ learner-busy time
    tasks           how many there are to train on and held out, and how many were left out because they are held out
    nodes           names of the actors on each node, by its host name and address
    phases          seconds by phase, in order
    learner_idle, engine_idle   shares of the RL phase
    status          "finished", "interrupted" or "failed", in the file also "running"; `reason` says why if not finished
    failures        counts of what went wrong without ending the run (skipped steps, tracking, ...), by name
    infra_errors    what kept answers from being judged, in training and in evaluations
    answers         answers judged for training, by domain and status; unparseable ones whether masked or scored 0
    verifiers       seconds a group, by verifier
    warnings        what the run warned of, in order
    resume          the command that goes on with a run that ended early; None if it has no checkpoint
    """

    name: str
    status: str = "interrupted"  # until the run says that it is finished
    reason: str = "the run did not reach its end"
    before: Evaluation | None = None
    after: Evaluation | None = None
    steps: int = 0
    wall_seconds: float = 0.0
    learn_seconds: float | None = None
    mismatch_start: float | None = None
    trajectories: TrajectoryCounts = field(default_factory=TrajectoryCounts)
    tokens_per_second: float | None = None
    overlap: float | None = None
    learner_idle: float | None = None
    engine_idle: float | None = None
    tasks: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[str, list[str]] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    infra_errors: InfraErrors = field(default_factory=InfraErrors)
    answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    verifiers: Mapping[str, Latency] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    resume: str | None = None

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
        """Domains whose pass@1 fell beyond chance."""
        before, after = self.evaluations.values()
        return fallen(before, after) if before and after else []

    def as_dict(self) -> dict[str, object]:
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
                "tasks": dict(self.tasks),
                "nodes": dict(self.nodes),
                "phases": dict(self.phases),
                "failures": dict(self.failures),
                "infra_errors": [
                    {"what": f.what, "answers": f.answers, "traceback": f.traceback} for f in self.infra_errors
                ],
                "answers": {domain: dict(counts) for domain, counts in self.answers.items()},
                "verifiers": {name: asdict(latency) for name, latency in self.verifiers.items()},
                "warnings": list(self.warnings),
                "resume": self.resume,
            }
        )

    def write(self, run: RunFolder, running: bool = False) -> None:
        """Write `summary.json`, whole or not at all; `running`: the run goes on."""
        values = self.as_dict() | (RUNNING if running else {})
        write_atomically(run.summary, json.dumps(values, indent=2, allow_nan=False) + "\n")

    def table(self) -> RenderableType:
        """The table at the end of a run."""
        return table(self.as_dict())


def _shares(evaluation: Evaluation, domain: str) -> dict[str, float | int]:
    result = evaluation.domains[domain]
    names = ("parseable", "truncated", "tokens_mean", "tasks", "asked", "samples")
    return {name: getattr(result, name) for name in names}


def ending(error: BaseException) -> tuple[str, str]:
    """Status and reason of a run that an error ended; Ctrl-C and signals are interruptions."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", str(error) or "Ctrl-C"
    return "failed", str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"


def without_nan(values: Mapping[str, object]) -> dict[str, object]:
    """The values with null for every number that JSON does not have."""
    return {key: _without_nan(value) for key, value in values.items()}


def _without_nan(value: object) -> object:
    if isinstance(value, Mapping):
        return without_nan(value)
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
