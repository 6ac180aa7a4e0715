"""The summary of an RL run: `summary.json` for programs, one table for users."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from rich.console import RenderableType

from reprise.launch.reporting.run_summary import RunSummary
from reprise.launch.reporting.statistics import Estimate, Evaluation, changes, compared, fallen
from reprise.launch.reporting.summary_table import table
from reprise.launch.reporting.verifiers import Latency
from reprise.rewards.infra_errors import InfraErrors


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


@dataclass(slots=True)
class Summary(RunSummary):
    """The summary of an RL run.

    before, after   held-out evaluations before and after RL
    mismatch_start  mean absolute difference of engine and learner log-probabilities at the start, nats a token
    overlap         learner-busy time during which an engine step ran ÷ learner-busy time
    learner_idle, engine_idle   shares of the RL phase
    tasks           how many there are to train on and held out, and how many were left out because they are held out
    infra_errors    what kept answers from being verified, in training and in evaluations
    answers         answers verified for training, by domain and status; unparseable ones whether masked or scored 0
    verifiers       seconds a group, by verifier
    """

    _REWRITTEN: ClassVar[Collection[str]] = ("before", "after", "infra_errors")

    before: Evaluation | None = None
    after: Evaluation | None = None
    mismatch_start: float | None = None
    trajectories: TrajectoryCounts = field(default_factory=TrajectoryCounts)
    overlap: float | None = None
    learner_idle: float | None = None
    engine_idle: float | None = None
    tasks: Mapping[str, int] = field(default_factory=dict)
    infra_errors: InfraErrors = field(default_factory=InfraErrors)
    answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    verifiers: Mapping[str, Latency] = field(default_factory=dict)

    @property
    def evaluations(self) -> dict[str, Evaluation | None]:
        """`before` and `after`; if both were measured, over the tasks that were verified in both."""
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

    def _derived(self) -> dict[str, object]:
        domains = {when: dict(e.domains) if e else {} for when, e in self.evaluations.items()}
        shares = ("parseable", "truncated", "tokens_mean", "tasks", "asked", "samples")
        return {
            "pass_at_1": {w: {d: r.pass_at_1.value for d, r in results.items()} for w, results in domains.items()},
            "pass_at_1_interval": {
                w: {d: [r.pass_at_1.low, r.pass_at_1.high] for d, r in results.items()}
                for w, results in domains.items()
            },
            "pass_at_1_change": self.changes,
            "fallen": self.fallen,
            "evaluation": {
                w: {d: {name: getattr(r, name) for name in shares} for d, r in results.items()}
                for w, results in domains.items()
            },
            "infra_errors": [
                {"what": f.what, "answers": f.answers, "traceback": f.traceback} for f in self.infra_errors
            ],
        }

    def table(self) -> RenderableType:
        """The table at the end of a run."""
        return table(self.as_dict())
