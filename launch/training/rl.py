"""The training script: read it from top to bottom, and you know what a run does."""

from __future__ import annotations

from dataclasses import replace

from reprise.actors.sampler import Sampler
from reprise.data.stream import TaskStream
from reprise.launch.evaluation.held_out import HeldOut
from reprise.launch.evaluation.mismatch import sampled_mismatch
from reprise.launch.evaluation.probe import probe
from reprise.launch.placement.reservation import ray_nodes
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.opening import Opening
from reprise.launch.reporting.recorder import Recorder
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.training import event_loop, preflight
from reprise.launch.training.before import hold_reference, train_before
from reprise.launch.training.cluster import Cluster
from reprise.launch.training.preflight import Preflight
from reprise.launch.training.quiet import quiet_libraries
from reprise.launch.training.ray_session import RaySession
from reprise.launch.training.resuming import check_resumable, check_same_tasks, policy_folder
from reprise.launch.training.saving import Saving
from reprise.rollout.admission import Admission


def train(recipe: Recipe, resumed: RunFolder | None = None, opening: Opening | None = None) -> None:
    """Train a policy by `recipe`, or go on with a run from its last checkpoint, with an empty buffer.

    Everything it writes is in its run folder; raises what ended it, if anything did. Its clock is that of `opening`.
    """
    opening = opening or Opening()
    opening.say("checking recipe, tasks, verifiers and resources")
    quiet_libraries()
    if resumed is not None:
        check_resumable(resumed, recipe)
    checked = preflight.check_here(recipe)
    opening.say("starting Ray")
    with RaySession(recipe.cluster.start_deadline_s) as session:
        ready = preflight.placed(recipe, ray_nodes(), checked)
        if resumed is not None:
            check_same_tasks(resumed, recipe, ready.tasks)
        run = resumed or RunFolder.create(recipe.runs_dir, recipe.name)
        session.logs = run.logs / "ray"
        with Recorder(recipe, run, resumed is not None, opening) as recorder:
            recorder.tasks(ready.tasks, ready.notes)
            event_loop.run(_train(recipe, ready, run, recorder))


async def _train(recipe: Recipe, ready: Preflight, run: RunFolder, recorder: Recorder) -> None:
    progress, tasks = recorder.progress, ready.tasks
    progress.phase("set-up")
    policy_dir = policy_folder(recipe, run)
    plan = preflight.plan_of(recipe, ready, policy_dir)
    tell = (progress.note, recorder.verifier_lost, recorder.verifier_failed)
    async with Cluster(recipe, plan, policy_dir, run.logs, *tell) as cluster:
        fleet, learner = cluster.fleet, cluster.learner
        recorder.summary.nodes = cluster.nodes()
        if recorder.checkpoint is None:  # while the engines start
            await train_before(recipe, cluster, policy_dir, run, progress)
        await cluster.learner_ready()
        saved = await learner.keep_checkpoints(run.checkpoints, recipe.checkpoints, recorder.checkpoint)
        first = 0 if saved is None else int(saved["version"])
        saving = Saving(learner, recipe.checkpoints, first, progress.note)
        await hold_reference(recipe, learner, policy_dir, run, begins=saved is None)
        await cluster.engines_ready()
        recorder.warned(cluster.verifier_notes())
        await learner.publish(first)
        size, limit = recipe.rollout.group_size, recipe.weights.probe_limit(recipe.policy.dtype)
        probed = TaskStream(tasks.train, tasks.weights, recipe.seed)  # another than the run's, which loses no task
        recorder.summary.mismatch_start = await probe(fleet, learner, probed, size, first, limit)
        stream = TaskStream(tasks.train, tasks.weights, recipe.seed)
        held_out = HeldOut(recipe, fleet, tasks, recorder)
        if saved is None:
            await held_out.before()
        else:
            stream.restore(saved["stream"])

        progress.phase("RL", recipe.steps)
        rule, fresh = recipe.rollout, recipe.buffer.fresh_per_batch
        sampler = Sampler(
            fleet,
            cluster.buffer,
            Admission(rule.max_staleness, fresh, rule.max_concurrent_groups, next_take=first),
            stream,
            group_size=size,
            take_deadline_s=recipe.buffer.take_deadline_s,
            on_finished=recorder.finished,
            on_failure=cluster.fail,
            groups_before=0 if saved is None else saved["groups"],
        )

        def cursor(version: int) -> dict[str, object]:
            data = {"stream": stream.state(sampler.unfinished()), "groups": sampler.groups_started}
            return {"version": version, **data, "recorder": recorder.state()}

        recorder.training_begins()
        cluster.at_early_end = saving.rest
        await held_out.resumed(first)
        sampler.published(first)
        for version in range(first, recipe.steps):
            batch = await sampler.batch(version)
            found = {} if batch.info.current else await sampled_mismatch(fleet, learner, next(probed), size, version)
            trained = await saving.step(learner.train(batch.groups, version))
            trained = replace(trained, metrics=found | trained.metrics)
            recorder.trained(version + 1, batch, trained)
            await saving.done(version + 1, cursor(version + 1))
            published = await learner.publish(version + 1)
            sampler.published(version + 1)
            recorder.step(version + 1, batch, trained, published, await fleet.stats())
            await held_out.during(version + 1)
            await saving.due()
        await sampler.stop()

        await held_out.after()
        progress.phase("export")
        await learner.saved()
        await learner.export(run.policy)
