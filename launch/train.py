"""The training script: read it from top to bottom, and you know what a run does."""

from __future__ import annotations

import asyncio

import ray

from actors.sampler import Sampler
from data.stream import TaskStream
from launch import preflight
from launch.actor_set import join_ray, on_a_cluster, ray_nodes
from launch.cluster import Cluster
from launch.evaluate import evaluate
from launch.nodes import local_nodes
from launch.preflight import Preflight
from launch.probe import probe
from launch.quiet import quiet_libraries
from launch.recipe import Recipe
from launch.recorder import Recorder
from launch.resuming import check_resumable, policy_folder
from launch.run_folder import RunFolder
from launch.signals import cancel_on_sigterm
from launch.trial import try_verifiers
from launch.warm_start import warm_start
from rollout.admission import Admission
from rollout.chat import ChatCodec

_PROBE_TASKS = 8


def train(recipe: Recipe, resumed: RunFolder | None = None) -> None:
    """Train a policy by `recipe`, or go on with a run from its last checkpoint, with an empty buffer.

    Everything it writes is in its run folder; raises what ended it, if anything did.
    """
    quiet_libraries()
    if resumed is not None:
        check_resumable(resumed, recipe)
    found: list[str] = []
    if not on_a_cluster():  # whose nodes may have what the driver's lacks
        checked = preflight.check(recipe, local_nodes())  # before Ray takes its seconds
        found = try_verifiers(recipe.rewards, checked.tasks)
    join_ray()
    try:
        nodes, node_ids = ray_nodes()
        ready = preflight.check(recipe, nodes)
        run = resumed or RunFolder.create(recipe.runs_dir, recipe.name)
        with Recorder(recipe, run, resumed is not None) as recorder:
            for note in found:
                recorder.progress.note(note)
            try:
                asyncio.run(_train(recipe, ready, run, recorder, node_ids))
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None  # SIGTERM
    finally:
        ray.shutdown()


async def _train(recipe: Recipe, ready: Preflight, run: RunFolder, recorder: Recorder, node_ids: list[str]) -> None:
    cancel_on_sigterm()
    progress, tasks = recorder.progress, ready.tasks

    progress.phase("set-up")
    policy_dir = policy_folder(recipe, run, recorder.checkpoint is not None)
    plan = preflight.check_folder(recipe, ready.plan.nodes, policy_dir, tasks)
    tell = (recorder.verifier_lost, recorder.verifier_failed)
    async with Cluster(recipe, plan, node_ids, policy_dir, *tell) as cluster:
        fleet, learner = cluster.fleet, cluster.learner
        recorder.summary.nodes = cluster.nodes()
        await cluster.learner_ready()
        saved = await learner.keep_checkpoints(run.checkpoints, recipe.checkpoints, recorder.checkpoint)
        first = 0 if saved is None else int(saved["version"])

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
        stream = TaskStream(tasks.train, tasks.weights, recipe.seed)
        recorder.summary.mismatch_start = await probe(
            fleet,
            learner,
            [next(stream) for _ in range(_PROBE_TASKS)],
            group_size=recipe.rollout.group_size,
            version=first,
            limit=recipe.weights.max_mismatch,
        )

        async def held_out(version: int, limit: int, when: str = "") -> None:
            if tasks.held_out:
                chosen = tasks.held_out_by_domain(limit)
                evaluated = await evaluate(fleet, chosen, samples=recipe.eval.samples, version=version, when=when)
                recorder.evaluated(version, evaluated, await fleet.stats(), when)

        if saved is None:
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
            on_added=recorder.added,
            on_failure=cluster.fail,
            groups_before=0 if saved is None else saved["groups"],
        )
        recorder.rl_begins()
        sampler.published(first)
        for version in range(first, recipe.steps):
            batch = await sampler.batch(version)
            trained = await learner.train(batch.groups, version)
            published = await learner.publish(version + 1)
            sampler.published(version + 1)
            recorder.step(version + 1, batch, trained, published, await fleet.stats())
            if recipe.eval.every and (version + 1) % recipe.eval.every == 0 and version + 1 < recipe.steps:
                await held_out(version + 1, recipe.eval.tasks_per_domain)
            if recipe.checkpoints.every and (version + 1) % recipe.checkpoints.every == 0:
                cursor = {
                    "version": version + 1,
                    "stream": stream.state(sampler.unfinished()),
                    "groups": sampler.groups_started,
                    "recorder": recorder.state(),
                }
                await learner.save(version + 1, cursor)
        await sampler.stop()

        progress.phase("after-eval")
        await held_out(recipe.steps, recipe.eval.final_tasks_per_domain, "after")
        await learner.saved()
        await learner.export(run.policy)
