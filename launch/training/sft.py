"""The supervised training script: read it from top to bottom, and you know what a run does."""

from __future__ import annotations

from pathlib import Path

from reprise.data.sft.reading import check_records
from reprise.launch.curriculum import SftData
from reprise.launch.placement.nodes import Plan, local_nodes, on_a_cluster
from reprise.launch.placement.reservation import ray_nodes
from reprise.launch.recipe.sft_schema import SftRecipe
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.reporting.sft_recorder import SftRecorder
from reprise.launch.training import event_loop
from reprise.launch.training import sft_preflight as preflight
from reprise.launch.training.conversations import load
from reprise.launch.training.fine_tuning import fine_tune
from reprise.launch.training.quiet import quiet_libraries
from reprise.launch.training.ray_session import RaySession
from reprise.launch.training.resuming import check_resumable, policy_folder
from reprise.launch.training.sft_ranks import Ranks


def train(recipe: SftRecipe, resumed: RunFolder | None = None, opening: Opening | None = None) -> None:
    """Fine-tune a policy by `recipe`, or go on with a run from its last checkpoint.

    Everything it writes is in its run folder; raises what ended it, if anything did. Its clock is that of `opening`.
    """
    opening = opening or Opening()
    opening.say("checking recipe and resources")
    quiet_libraries()
    if resumed is not None:
        check_resumable(resumed, recipe)
    if not on_a_cluster():
        preflight.check(recipe, local_nodes())
    check_records(recipe.sources)
    run = resumed or RunFolder.create(recipe.runs_dir, recipe.name)
    with SftRecorder(recipe, run, resumed is not None, opening) as recorder:
        recorder.progress.phase("set-up")
        policy_dir = policy_folder(recipe, run)
        recorder.progress.phase("data")
        data = load(recipe, policy_dir, recorder.tokenised)
        recorder.data(data)
        with RaySession(recipe.cluster.start_deadline_s) as session:
            session.logs = run.logs / "ray"
            plan = preflight.check(recipe, ray_nodes())
            event_loop.run(_train(recipe, plan, policy_dir, data, run, recorder))


async def _train(
    recipe: SftRecipe,
    plan: Plan,
    policy_dir: Path,
    data: SftData,
    run: RunFolder,
    recorder: SftRecorder,
) -> None:
    async with Ranks(recipe, plan, policy_dir, run.logs, recorder.progress.note) as ranks:
        recorder.summary.nodes = ranks.nodes()
        await ranks.ready()
        await fine_tune(recipe, data, ranks, run.checkpoints, recorder.checkpoint, recorder)
        recorder.progress.phase("export")
        await ranks.learner.export(run.policy)
