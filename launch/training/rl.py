"""The training script: read it from top to bottom, and you know what a run does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from reprise.actors.sampler import Sampler
from reprise.data.stream import TaskStream
from reprise.launch.evaluation.evaluate import evaluate
from reprise.launch.evaluation.mismatch import sampled_mismatch
from reprise.launch.evaluation.probe import probe
from reprise.launch.placement.nodes import local_nodes, on_a_cluster
from reprise.launch.placement.reservation import ray_nodes
from reprise.launch.recipe.schema import Recipe
from reprise.launch.reporting.opening import Opening, refuse_beside_a_loop
from reprise.launch.reporting.recorder import Recorder
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.signals import cancel_when_told_to_end
from reprise.launch.training import preflight
from reprise.launch.training.cluster import Cluster
from reprise.launch.training.preflight import Preflight
from reprise.launch.training.quiet import quiet_libraries
from reprise.launch.training.ray_session import RaySession
from reprise.launch.training.resuming import check_resumable, check_same_tasks, policy_folder
from reprise.launch.training.saving import Saving
from reprise.launch.training.trial import try_verifiers
from reprise.launch.training.warm_start import warm_start
from reprise.rollout.admission import Admission
from reprise.rollout.chat import ChatCodec

_PROBE_TASKS = 8


def train(recipe: Recipe, resumed: RunFolder | None = None, opening: Opening | None = None) -> None:
    """Train a policy by `recipe`, or go on with a run from its last checkpoint, with an empty buffer.

    Everything it writes is in its run folder; raises what ended it, if anything did. Its clock is that of `opening`.
    """
    refuse_beside_a_loop("reprise train")
    opening = opening or Opening()
    opening.say("checking recipe, tasks, verifiers and resources")
    quiet_libraries()
    if resumed is not None:
        check_resumable(resumed, recipe)
    found: list[str] = []
    if not on_a_cluster():  # whose nodes may have what the driver's lacks
        checked = preflight.check(recipe, local_nodes())  # before Ray takes its seconds
        found = try_verifiers(recipe.rewards, checked.tasks)
    opening.say("starting Ray")
    with RaySession(recipe.cluster.start_deadline_s) as session:
        ready = preflight.check(recipe, ray_nodes())
        if resumed is not None:
            check_same_tasks(resumed, recipe, ready.tasks)
        run = resumed or RunFolder.create(recipe.runs_dir, recipe.name)
        session.logs = run.logs / "ray"
        with Recorder(recipe, run, resumed is not None, opening) as recorder:
            recorder.tasks(ready.tasks)
            for note in found:
                recorder.progress.note(note)
            try:
                asyncio.run(_train(recipe, ready, run, recorder))
            except asyncio.CancelledError as told:
                raise KeyboardInterrupt(*told.args) from None  # SIGTERM, SIGHUP


async def _train(recipe: Recipe, ready: Preflight, run: RunFolder, recorder: Recorder) -> None:
    cancel_when_told_to_end()
    progress, tasks = recorder.progress, ready.tasks

    progress.phase("set-up")
    policy_dir = policy_folder(recipe, run, recorder.checkpoint is not None)
    plan = preflight.check_folder(recipe, ready.plan.nodes, policy_dir, tasks)
    tell = (progress.note, recorder.verifier_lost, recorder.verifier_failed)
    async with Cluster(recipe, plan, policy_dir, run.logs, *tell) as cluster:
        fleet, learner = cluster.fleet, cluster.learner
        recorder.summary.nodes = cluster.nodes()
        await cluster.learner_ready()
        saved = await learner.keep_checkpoints(run.checkpoints, recipe.checkpoints, recorder.checkpoint)
        first = 0 if saved is None else int(saved["version"])
        saving = Saving(learner, recipe.checkpoints, first, progress.note)

        if recipe.warm_start is not None and saved is None:  # while the engines start
            progress.phase("warm start", recipe.warm_start.steps)
            codec = ChatCodec(policy_dir, recipe.rollout.stop)
            await warm_start(recipe.warm_start, recipe.seed, learner, codec, progress.advance)
            progress.phase("set-up")
        if recipe.learner.kl_coef:
            if recipe.warm_start is not None and saved is None:
                await learner.export(run.reference)
            await learner.hold_reference(policy_dir if recipe.warm_start is None else run.reference)
        await cluster.engines_ready()
        recorder.warned(cluster.verifier_notes())
        await learner.publish(first)
        probed = TaskStream(tasks.train, tasks.weights, recipe.seed)  # another than the run's, which loses no task
        recorder.summary.mismatch_start = await probe(
            fleet,
            learner,
            [next(probed) for _ in range(_PROBE_TASKS)],
            group_size=recipe.rollout.group_size,
            version=first,
            limit=recipe.weights.probe_limit(recipe.policy.dtype),
        )

        on_curve = recipe.eval.on_curve(recipe.steps)

        async def held_out(version: int, limit: int, when: str = "") -> None:
            if tasks.held_out:
                evaluated = await evaluate(
                    fleet,
                    tasks.held_out_by_domain(limit),
                    samples=recipe.eval.samples,
                    at_once=2 * recipe.rollout.engines * recipe.rollout.engine.max_num_seqs,  # as many wait as run
                    version=version,
                    curve=on_curve,
                    when=when,
                )
                recorder.evaluated(version, evaluated, await fleet.stats(), when)

        stream = TaskStream(tasks.train, tasks.weights, recipe.seed)
        if saved is None:
            if tasks.held_out:
                progress.phase("before-eval")
            await held_out(0, recipe.eval.final_tasks_per_domain, "before")
        else:
            stream.restore(saved["stream"])
            recorder.resumed(saved["recorder"], first)

        progress.phase("RL", recipe.steps)
        sampler = Sampler(
            fleet,
            cluster.buffer,
            Admission(
                recipe.rollout.max_staleness,
                recipe.buffer.fresh_per_batch,
                recipe.rollout.max_concurrent_groups,
                next_take=first,
            ),
            stream,
            group_size=recipe.rollout.group_size,
            take_deadline_s=recipe.buffer.take_deadline_s,
            on_finished=recorder.finished,
            on_failure=cluster.fail,
            groups_before=0 if saved is None else saved["groups"],
        )

        def cursor(version: int) -> dict[str, object]:
            return {
                "version": version,
                "stream": stream.state(sampler.unfinished()),
                "groups": sampler.groups_started,
                "recorder": recorder.state(),
            }

        recorder.training_begins()
        cluster.at_early_end = saving.rest
        if recorder.evaluated_at < first and recipe.eval.due(first, recipe.steps):  # missed by an early end
            await held_out(first, on_curve)
        sampler.published(first)
        for version in range(first, recipe.steps):
            batch = await sampler.batch(version)
            mismatch = (
                {}
                if batch.info.current
                else await sampled_mismatch(
                    fleet, learner, next(probed), group_size=recipe.rollout.group_size, version=version
                )
            )
            trained = await saving.step(learner.train(batch.groups, version))
            trained = replace(trained, metrics=mismatch | trained.metrics)
            recorder.trained(version + 1, batch, trained)
            await saving.done(version + 1, cursor(version + 1))
            published = await learner.publish(version + 1)
            sampler.published(version + 1)
            recorder.step(version + 1, batch, trained, published, await fleet.stats())
            if recipe.eval.due(version + 1, recipe.steps):
                await held_out(version + 1, on_curve)
            await saving.due()
        await sampler.stop()

        if tasks.held_out:
            progress.phase("after-eval")
        await held_out(recipe.steps, recipe.eval.final_tasks_per_domain, "after")
        progress.phase("export")
        await learner.saved()
        await learner.export(run.policy)
