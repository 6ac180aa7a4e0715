"""The supervised training script: read it from top to bottom, and you know what a run does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import ray

from reprise.actors.remote import Ref, passed
from reprise.launch.curriculum import Curriculum, CurriculumState, SftData, as_document
from reprise.launch.placement.nodes import Plan, local_nodes, on_a_cluster
from reprise.launch.placement.reservation import ray_nodes
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.opening import Opening, refuse_beside_a_loop
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.sft_recorder import SftRecorder
from reprise.launch.signals import cancel_when_told_to_end
from reprise.launch.training import sft_preflight as preflight
from reprise.launch.training.quiet import quiet_libraries
from reprise.launch.training.ray_session import RaySession
from reprise.launch.training.resuming import check_resumable, policy_folder
from reprise.launch.training.saving import Saving
from reprise.launch.training.sft_ranks import Ranks
from reprise.learner.packing import Document


def train(recipe: SftRecipe, resumed: RunFolder | None = None, opening: Opening | None = None) -> None:
    """Fine-tune a policy by `recipe`, or go on with a run from its last checkpoint.

    Everything it writes is in its run folder; raises what ended it, if anything did. Its clock is that of `opening`.
    """
    refuse_beside_a_loop("reprise sft")
    opening = opening or Opening()
    opening.say("checking recipe and resources")
    quiet_libraries()
    if resumed is not None:
        check_resumable(resumed, recipe)
    if not on_a_cluster():
        preflight.check(recipe, local_nodes())
    preflight.check_records(recipe)
    run = resumed or RunFolder.create(recipe.runs_dir, recipe.name)
    with SftRecorder(recipe, run, resumed is not None, opening) as recorder:
        recorder.progress.phase("set-up")
        policy_dir = policy_folder(recipe, run, resumed is not None)
        recorder.progress.phase("data")
        data = preflight.load(recipe, policy_dir, recorder.tokenised)
        recorder.data(data)
        with RaySession(recipe.cluster.start_deadline_s) as session:
            session.logs = run.logs / "ray"
            plan = preflight.check(recipe, ray_nodes())
            try:
                asyncio.run(_train(recipe, plan, policy_dir, data, run, recorder))
            except asyncio.CancelledError as told:
                raise KeyboardInterrupt(*told.args) from None  # SIGTERM, SIGHUP


async def _train(
    recipe: SftRecipe,
    plan: Plan,
    policy_dir: Path,
    data: SftData,
    run: RunFolder,
    recorder: SftRecorder,
) -> None:
    cancel_when_told_to_end()
    curriculum = Curriculum(data.stages, recipe.seed)
    held_out: dict[str, list[Document]] = {}
    for source in data.held_out:
        held_out.setdefault(source.domain, []).extend(as_document(source[i]) for i in range(len(source)))
    async with Ranks(recipe, plan, policy_dir, run.logs, recorder.progress.note) as ranks:
        learner = ranks.learner
        recorder.summary.nodes = ranks.nodes()
        await ranks.ready()
        checkpoint = recorder.checkpoint
        cursor = await learner.keep_checkpoints(run.checkpoints, recipe.checkpoints, checkpoint)
        if cursor is not None:
            curriculum.load_state(cast(CurriculumState, cursor))
        saving = Saving(learner, recipe.checkpoints, curriculum.done, recorder.progress.note)
        documents: Ref[dict[str, list[Document]]] = ray.put(held_out)

        async def evaluate() -> None:
            if held_out:
                recorder.evaluated(curriculum.done, await learner.sft_evaluate(passed(documents)))

        def evaluation_due() -> bool:
            done, every = curriculum.done, recipe.eval.every
            return done == 0 or curriculum.between_stages or bool(every and done % every == 0)

        if evaluation_due() and recorder.evaluated_at < curriculum.done:  # before training, or missed by an early end
            await evaluate()
        recorder.progress.phase("training", curriculum.total)
        recorder.training_begins()
        ranks.at_early_end = saving.rest
        for batch in curriculum:
            recorder.step(batch, await saving.step(learner.sft_step(batch.documents, batch.lr)))
            await saving.done(batch.step, curriculum.state())
            if evaluation_due():
                await evaluate()
            await saving.due(at_once=batch.ends_stage)
        recorder.progress.phase("export")
        await learner.saved()
        await learner.export(run.policy)
