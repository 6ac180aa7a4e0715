"""The summary of a supervised run: `summary.json` for programs, one table for users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from rich.console import RenderableType

from reprise.launch.reporting.run_summary import RunSummary
from reprise.launch.reporting.sft_summary_table import table


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
class SftSummary(RunSummary):
    """The summary of a supervised run; `tokens_per_second` is of what was read.

    eval_before     held-out loss by domain before the first step, nats a token
    resumed_at      step of the checkpoint it continued from; None if it began at the beginning
    """

    kind: str = "sft"
    stages: list[StageResult] = field(default_factory=list)
    eval_before: Mapping[str, float] = field(default_factory=dict)
    tokens_trained: int = 0
    resumed_at: int | None = None

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

    def _derived(self) -> dict[str, object]:
        return {"forgotten": self.forgotten}

    def table(self) -> RenderableType:
        """The table at the end of a run."""
        return table(self.as_dict())
