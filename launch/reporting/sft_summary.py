"""What a supervised run came to: `summary.json` for programs, one table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise

from rich.console import RenderableType

from reprise.launch.reporting.run_folder import RunFolder, write_atomically
from reprise.launch.reporting.sft_summary_table import table
from reprise.launch.reporting.summary import RUNNING, ending, without_nan


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

    status          "finished", "interrupted" or "failed", in the file also "running"; `reason` says why if not finished
    eval_before     held-out loss by domain before the first step, nats a token
    tokens_per_second   read a second of the training phase
    resumed_at      step of the checkpoint it went on from; None if it began at the beginning
    failures        counts of what went wrong without ending the run
    resume          the command that goes on with a run that ended early; None if it has no checkpoint
    """

    name: str
    kind: str = "sft"
    status: str = "interrupted"
    reason: str = "the run did not reach its end"
    steps: int = 0
    stages: list[StageResult] = field(default_factory=list)
    eval_before: Mapping[str, float] = field(default_factory=dict)
    tokens_trained: int = 0
    tokens_per_second: float | None = None
    wall_seconds: float = 0.0
    learn_seconds: float = 0.0
    resumed_at: int | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    nodes: Mapping[str, list[str]] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    resume: str | None = None

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

    def as_dict(self) -> dict[str, object]:
        """What `summary.json` holds. What was not measured is null or an empty object."""
        return without_nan(asdict(self) | {"forgotten": self.forgotten})

    def write(self, run: RunFolder, running: bool = False) -> None:
        """Write `summary.json`, whole or not at all; `running`: the run goes on."""
        values = self.as_dict() | (RUNNING if running else {})
        write_atomically(run.summary, json.dumps(values, indent=2, allow_nan=False) + "\n")

    def table(self) -> RenderableType:
        """The table at the end of a run."""
        return table(self.as_dict())
