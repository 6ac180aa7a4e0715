"""What recording a run has in common for RL and SFT: progress, metrics.jsonl, wandb, summary, table and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, SupportsFloat, TypeVar

from reprise.core.files import write_atomically
from reprise.launch.recipe.loading import to_yaml
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.actor_logs import shown
from reprise.launch.reporting.metrics import MetricsLog, Names, cut_after, is_evaluation, refuse_if_written
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.report import write_report
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.run_summary import RunSummary
from reprise.launch.reporting.tracking import Tracker
from reprise.learner.checkpoints.folder import step_of

# Seconds between two writings of summary.json during the run, or so often the time that the last one took.
_SUMMARY_EVERY_S, _SUMMARY_SHARE = 2.0, 50

S = TypeVar("S", bound=RunSummary)


class RunRecorder(Generic[S]):
    """Collects what happens in a run and writes it where users and programs look. Leaving it writes the report.

    command      "train" or "sft": what continues the run
    names        of the metrics that a line may have
    final        the run's last step, if the evaluation after it is made once more by a resumed run
    checkpoint   what a resumed run continues from. Its lines that are later are removed: they will be written again.
                 None also where RL has none yet, so that the run continues with what comes before RL
    earlier      the lines of metrics.jsonl that a resumed run keeps
    evaluated_at the step of the last evaluation during the run; -1: none yet
    """

    def __init__(
        self,
        recipe: Recipe | SftRecipe,
        run: RunFolder,
        summary: S,
        *,
        command: str,
        names: Names,
        phases: Sequence[str],
        resumed: bool,
        opening: Opening | None,
        final: int | None = None,
    ) -> None:
        opening = opening or Opening()
        self.run, self.summary, self._command = run, summary, command
        refuse_if_written(run.metrics)
        if resumed and run.stopped_before_rl:
            run.forget_rl()
            resumed = False
        self.checkpoint = run.last_checkpoint(recipe.checkpoints.every) if resumed else None
        resumed_at = None if self.checkpoint is None else step_of(self.checkpoint)
        self.earlier: list[dict[str, Any]] = [] if resumed_at is None else cut_after(run.metrics, resumed_at, final)
        self.evaluated_at = max((line["step"] for line in self.earlier if is_evaluation(line)), default=-1)
        self.progress = Progress(run.name, phases=phases, started=opening.started)
        self._log = MetricsLog(run.metrics, names)
        config = recipe.model_dump(mode="json")
        self._tracker = Tracker(recipe.tracking, run, config, self.progress.note, resumed_at)
        self._step_started = time.time()
        self._started = self._summary_due = self._step_started - opening.seconds
        self._training_since: float | None = None
        self._tokens = 0
        self._failures: dict[str, float] = {}
        write_atomically(run.recipe, to_yaml(recipe))
        for note in recipe.notes():
            self.progress.note(note)

    def __enter__(self) -> Self:
        return self

    def warned(self, warnings: Sequence[str]) -> None:
        """Something that users must know of this run: shown at once, and in its table."""
        for warning in warnings:
            self.progress.note(f"Warning: {warning}")
            self.summary.warnings.append(warning)

    def _write(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        self._log.write(step, metrics)
        self._tracker.log(step, metrics)

    def training_begins(self) -> None:
        """The clock of the training phase starts."""
        self._training_since = self._step_started = time.time()

    def _save_summary(self, now: bool = True) -> None:
        """Write what is known so far, for those who look during the run, or find that it was killed.

        now   also if it was written a moment ago
        """
        began = time.time()
        if not now and began < self._summary_due:
            return
        self._update()
        with suppress(OSError):  # a full disk, say: written again soon, and at the end, which reports it
            self.summary.write(self.run, running=True)
        ended = time.time()
        self._summary_due = ended + max(_SUMMARY_EVERY_S, _SUMMARY_SHARE * (ended - began))

    def _update(self) -> None:
        """Bring the summary up to date."""
        summary = self.summary
        summary.wall_seconds = time.time() - self._started
        summary.phases = self.progress.phase_seconds
        summary.failures = {**{n: int(c) for n, c in self._failures.items()}, "tracking": self._tracker.failures}
        if self._training_since is not None and self._step_started > self._training_since:
            self._measure(self._training_since, self._step_started)

    def _measure(self, since: float, until: float) -> None:
        """Measure the training phase, which has had its first step, from `since` to `until`."""
        self.summary.tokens_per_second = self._tokens / (until - since)

    def _end(self) -> None:
        """Record what is left when the run has ended."""
        self._update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever can still be written is, and the screen has the rest: a full disk ends no write but one."""
        if error is None:
            self.summary.finished()
        else:
            self.summary.failed(error)
        checkpoint = self.run.latest_checkpoint() if error is not None else None
        if checkpoint is not None:
            self.summary.resume = f"reprise {self._command} --resume {shown(self.run.path)}"
        self.progress.close()
        writes: list[tuple[str, Callable[[], object]]] = [
            ("metrics.jsonl", self._end),
            ("metrics.jsonl", self._log.close),
            ("tracking", lambda: self._tracker.close(failed=error is not None)),
            ("summary.json", lambda: self.summary.write(self.run)),
            ("report.html", lambda: write_report(self.run.path)),
        ]
        for what, write in writes:
            try:
                write()
            except OSError as failure:
                self.progress.note(f"{what} could not be written: {failure.strerror or failure}")
        self.progress.print(self.summary.table())
        if self.run.report.exists():
            self.progress.print(f"report   {self.run.report}")
        if checkpoint is not None:
            before = " before RL" if self.run.stopped_before_rl else ""
            self.progress.print(f"resume   {self.summary.resume}   (from step {step_of(checkpoint)}{before})")
