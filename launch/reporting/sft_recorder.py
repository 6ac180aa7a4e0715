"""Everything a supervised run tells: progress on the screen, metrics.jsonl, wandb, the summary, table and report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from reprise.actors.learner import SftStep
from reprise.launch.curriculum import Batch, SftData
from reprise.launch.recipe.loading import to_yaml
from reprise.launch.recipe.sft_schema import SftRecipe, notes
from reprise.launch.reporting.ending import finish, resume_command
from reprise.launch.reporting.metrics import SFT_NAMES, MetricsLog, cut_after, is_evaluation, refuse_if_written
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.report import write_report
from reprise.launch.reporting.run_folder import RunFolder, write_atomically
from reprise.launch.reporting.sft_summary import SftSummary, StageResult
from reprise.launch.reporting.tracking import Tracker
from reprise.learner.checkpoints.folder import step_of

PHASES = ("set-up", "data", "training", "export")
_TELL_EVERY_S = 2.0  # between two writings of summary.json while the run goes on


class SftRecorder:
    """Collects what happens in a run and writes it where people and programs look. Leaving it writes the report.

    Of a resumed run the lines later than its last checkpoint are removed: they will be written again.
    """

    def __init__(self, recipe: SftRecipe, run: RunFolder, resumed: bool, opening: Opening | None = None) -> None:
        opening = opening or Opening()
        self.run = run
        refuse_if_written(run.metrics)
        self.summary = SftSummary(run.name, stages=[StageResult(stage.name, 0) for stage in recipe.stages])
        self.progress = Progress(run.name, phases=PHASES, started=opening.started)
        self._stage = 0
        self.evaluated_at = -1  # the step of the last evaluation
        self.checkpoint = run.last_checkpoint(recipe.checkpoints.every) if resumed else None
        if self.checkpoint is not None:
            self._take_up(step_of(self.checkpoint))
        self._log = MetricsLog(run.metrics, SFT_NAMES)
        resumed_at = None if self.checkpoint is None else step_of(self.checkpoint)
        config = recipe.model_dump(mode="json")
        self._tracker = Tracker(recipe.tracking, run, config, self.progress.note, resumed_at)
        self._step_started = time.time()
        self._started = self._told = self._step_started - opening.seconds
        self._training_since: float | None = None
        self._tokens = 0
        self._skipped = 0
        write_atomically(run.recipe, to_yaml(recipe))
        for note in notes(recipe):
            self.progress.note(note)

    def __enter__(self) -> Self:
        return self

    def _take_up(self, step: int) -> None:
        """What the former run had seen until the checkpoint."""
        self.summary.resumed_at = self.summary.steps = step
        for line in cut_after(self.run.metrics, step):
            if is_evaluation(line):  # it follows the line of its step
                self._add_evaluation(line["step"], {n.removeprefix("eval/loss/"): line[n] for n in line if n != "step"})
            else:
                self._stage = int(line["data/stage"]) - 1
                self._add_to_stage(self._stage, line["loss/train"], int(line["tokens/trained"]))

    def tokenised(self, source: str, records: int, tokens: int) -> None:
        """So many records of a source have been tokenised."""
        self.progress.advance(0, f"{source}: {records:,} conversations, {tokens:,} tokens")

    def data(self, data: SftData) -> None:
        """All data has been read."""
        for note in data.notes:
            self.progress.note(f"Note: {note}")
            self.summary.warnings.append(note)

    def training_begins(self, total: int, done: int) -> None:
        """The first step, or the first after a checkpoint, comes now."""
        self.progress.phase("training", total)
        if done:
            self.progress.note(f"going on from the checkpoint of step {done}")
        self._training_since = self._step_started = time.time()

    def step(self, batch: Batch, done: SftStep) -> None:
        """An optimiser step."""
        now = time.time()
        seconds = max(now - self._step_started, 1e-9)
        self._step_started = now
        read = sum(len(d.tokens) for d in batch.documents)
        step = done.step
        metrics = {
            "loss/train": done.loss,
            "optim/lr": step.lr,
            "optim/grad_norm": step.grad_norm if step.applied else math.nan,
            "optim/skipped": int(not step.applied),
            "tokens/trained": step.tokens,
            "tokens/read": read,
            "packing/padding": step.padding,
            "packing/imbalance": step.imbalance,
            "data/context": batch.context,
            "data/stage": batch.stage + 1,
            **{f"data/share/{name}": share for name, share in batch.shares.items()},
            "time/step": seconds,
            "time/learn": done.seconds,
            "throughput/tokens_per_second": read / seconds,
            "tracking/failures": self._tracker.failures,
        }
        self._log.write(batch.step, metrics)
        self._tracker.log(batch.step, metrics)
        self._tokens += read
        self._skipped += not step.applied
        self._stage = batch.stage
        self.summary.steps = batch.step
        self.summary.learn_seconds += done.seconds
        self._add_to_stage(batch.stage, done.loss, step.tokens)
        name = self.summary.stages[batch.stage].name
        if now - self._told >= _TELL_EVERY_S:
            self._tell()
        self.progress.advance(
            batch.step, f"{name} · loss {done.loss:.4f} · lr {step.lr:.2e} · {read / seconds:,.0f} tokens/s"
        )

    def _add_to_stage(self, stage: int, loss: float | None, tokens: int) -> None:
        result = self.summary.stages[stage]
        result.steps += 1
        result.tokens += tokens
        result.first_loss = loss if result.first_loss is None else result.first_loss
        result.last_loss = loss
        self.summary.tokens_trained += tokens

    def _add_evaluation(self, step: int, losses: Mapping[str, float]) -> None:
        self.evaluated_at = step
        if step:
            self.summary.stages[self._stage].eval_loss = dict(losses)
        else:
            self.summary.eval_before = dict(losses)

    def evaluated(self, step: int, losses: Mapping[str, float]) -> None:
        """Held-out losses by domain after `step`."""
        metrics = {f"eval/loss/{domain}": loss for domain, loss in losses.items()}
        self._log.write(step, metrics)
        self._tracker.log(step, metrics)
        self._add_evaluation(step, losses)
        self.progress.note(f"step {step} held-out loss " + " ".join(f"{d} {loss:.4f}" for d, loss in losses.items()))
        self._tell()
        self._step_started = time.time()

    def _tell(self) -> None:
        """Write what is known so far, for those who look while the run goes on, or find that it was killed."""
        self._told = time.time()
        self._bring_up_to_date()
        with suppress(OSError):  # a full disk, say: written again soon, and at the end, which tells of it
            self.summary.write(self.run, running=True)

    def _bring_up_to_date(self) -> None:
        summary = self.summary
        summary.wall_seconds = time.time() - self._started
        summary.phases = self.progress.phase_seconds
        summary.failures = {"optim/skipped": self._skipped, "tracking": self._tracker.failures}
        if self._training_since is not None and self._tokens:
            summary.tokens_per_second = self._tokens / max(self._step_started - self._training_since, 1e-9)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        summary = self.summary
        if error is None:
            summary.finished()
        else:
            summary.failed(error)
            summary.resume = resume_command(self.run, "sft")
        self._bring_up_to_date()
        writes = [
            ("metrics.jsonl", self._log.close),
            ("tracking", lambda: self._tracker.close(failed=error is not None)),
            ("summary.json", lambda: summary.write(self.run)),
            ("report.html", lambda: write_report(self.run.path)),
        ]
        finish(self.run, self.progress, writes, summary.table, summary.resume)
