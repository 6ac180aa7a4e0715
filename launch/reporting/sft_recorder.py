"""What a supervised run records: every step's metrics, and the losses of each stage."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from reprise.actors.learner import SftStep
from reprise.launch.curriculum import SftBatch, SftData
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.metrics import SFT_NAMES, is_evaluation
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.run_recorder import RunRecorder
from reprise.launch.reporting.sft_summary import SftSummary, StageResult
from reprise.learner.checkpoints.folder import step_of

PHASES = ("set-up", "data", "training", "export")


class SftRecorder(RunRecorder[SftSummary]):
    """The recorder of a supervised run."""

    def __init__(self, recipe: SftRecipe, run: RunFolder, resumed: bool, opening: Opening | None = None) -> None:
        super().__init__(
            recipe,
            run,
            SftSummary(run.name, stages=[StageResult(stage.name, 0) for stage in recipe.stages]),
            command="sft",
            names=SFT_NAMES,
            phases=PHASES,
            resumed=resumed,
            opening=opening,
        )
        self._stage = 0
        self._failures = {"optim/skipped": 0}
        if self.checkpoint is not None:
            self._resume(step_of(self.checkpoint))

    def _resume(self, step: int) -> None:
        """Count what the run had done until its checkpoint, of `step`."""
        self.progress.note(f"continuing from the checkpoint of step {step}")
        self.summary.resumed_at = self.summary.steps = step
        for line in self.earlier:
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

    def step(self, batch: SftBatch, done: SftStep) -> None:
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
        self._write(batch.step, metrics)
        self._tokens += read
        self._failures["optim/skipped"] += not step.applied
        self._stage = batch.stage
        self.summary.steps = batch.step
        self.summary.learn_seconds = (self.summary.learn_seconds or 0.0) + done.seconds
        self._add_to_stage(batch.stage, done.loss, step.tokens)
        self._save_summary(now=False)
        name = self.summary.stages[batch.stage].name
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
        self._write(step, {f"eval/loss/{domain}": loss for domain, loss in losses.items()})
        self._add_evaluation(step, losses)
        self.progress.note(f"step {step} held-out loss " + " ".join(f"{d} {loss:.4f}" for d, loss in losses.items()))
        self._save_summary()
        self._step_started = time.time()
