"""What comes before RL in the same run: supervised stages, by the learner that then runs RL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from reprise.actors.learner import SftStep
from reprise.actors.learner_group import LearnerGroup
from reprise.launch.curriculum import SftBatch
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.training.cluster import Cluster
from reprise.launch.training.conversations import load
from reprise.launch.training.fine_tuning import fine_tune
from reprise.learner.checkpoints.folder import latest, step_of


class _Shown:
    """The steps on the run's screen."""

    evaluated_at = -1

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def training_begins(self) -> None:
        pass

    def step(self, batch: SftBatch, done: SftStep) -> None:
        self.progress.advance(batch.step, f"loss {done.loss:.3f}")

    def evaluated(self, step: int, losses: Mapping[str, float]) -> None:
        shown = " ".join(f"{domain} {loss:.4f}" for domain, loss in losses.items())
        self.progress.note(f"step {step} before RL: held-out loss {shown}")


async def train_before(recipe: Recipe, cluster: Cluster, policy_dir: Path, run: RunFolder, progress: Progress) -> None:
    """All that `before` says, from the last checkpoint on if there is one; the learner then stands where RL begins."""
    if recipe.before is None:
        return
    sft = recipe.before.sft
    data = await asyncio.to_thread(load, sft, policy_dir)  # while actors start
    for note in data.notes:
        progress.note(f"Note: {note}")
    await cluster.learner_ready()
    await cluster.learner.begin_stage(sft.learner)
    checkpoint = latest(run.checkpoints_before)
    if checkpoint is not None:
        progress.note(f"continuing from the checkpoint of step {step_of(checkpoint)} before RL")
    await fine_tune(sft, data, cluster, run.checkpoints_before, checkpoint, _Shown(progress), "warm start")
    cluster.at_early_end = None
    await cluster.learner.begin_stage(recipe.learner_settings)
    progress.phase("set-up")


async def hold_reference(recipe: Recipe, learner: LearnerGroup, policy_dir: Path, run: RunFolder, begins: bool) -> None:
    """Have the policy that RL starts from held for the KL term, if there is one; `begins`: it is the learner's now."""
    if not recipe.learner.kl_coef:
        return
    if recipe.before is not None and begins:
        await learner.export(run.reference)
    await learner.hold_reference(policy_dir if recipe.before is None else run.reference)
