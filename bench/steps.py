"""How long is an asynchronous step, against a synchronous one and against what two cores allow at best?

One cluster on the demo's recipe serves all four measurements, on a policy that stays as it is: the learner does all of
its work at a learning rate of 1e-12, so that every phase sees the same distribution of tasks, lengths and rejections.

1. asynchronous: the loop of `launch/training/rl.py` with the recipe's `max_staleness`; the batches are kept
2. generate alone: as many groups as in 1., as many in flight, engine and vLLM's processes on one core, learner idle
3. learn alone: the batches of 1. once more, the learner on one core, engine idle
4. synchronous: as 1. with `max_staleness: 0`
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from processes import cpu_seconds, of_actor, one_core
from rows import Aim, Row
from stack import Stack, stack

from reprise.actors.buffer import BufferActor
from reprise.actors.learner import LearnerActor
from reprise.actors.remote import Actor
from reprise.actors.rollout import RolloutActor
from reprise.actors.sampler import Finished, Sampler, TakenBatch
from reprise.data.stream import TaskStream
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.run_folder import RunFolder
from reprise.launch.training.before import train_before
from reprise.rollout.admission import Admission
from reprise.rollout.episodes.base import SampleRequest

AIM = Aim(at_most=1.25)
_FILLING = 2  # steps before the clock starts: the queue fills, and reuse begins with the second batch


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of one mode, in seconds; means. `groups` is how many were sampled, `batches` what was trained on."""

    count: int
    step: float
    waited: float
    learn: float
    publish: float
    groups: int
    batches: list[Any]
    cpu: dict[str, float]


async def measure(folder: Path, policy: Path | None, quick: bool) -> list[Row]:
    """Asynchronous against the limit and against synchronous."""
    # After fewer, hardly an answer can be read, and no group teaches anything.
    warm_steps, count = 300, 4 if quick else 8
    overrides = ["learner.lr=1e-12", "learner.schedule=constant", "learner.decay_steps=null", "learner.warmup_steps=0"]
    if policy is not None:
        overrides += [f"policy.path={policy.absolute()}", "before=null"]
    else:
        overrides += [f"before.sft.stages.0.steps={warm_steps}"]
    async with stack(folder, overrides) as running:
        await _ready(running)
        recipe = running.recipe
        staleness = recipe.rollout.max_staleness
        asynchronous = await _steps(running, staleness, 0, count)
        generate = await _generate_alone(running, asynchronous.groups) / count
        learn = await _learn_alone(running, asynchronous.batches)
        synchronous = await _steps(running, 0, 1000, count)
    limit = max(generate, learn)
    detail = {
        "policy": str(policy or f"{warm_steps} supervised steps"),
        "asynchronous": _plain(asynchronous),
        "synchronous": _plain(synchronous),
        "generate_alone_s": generate,
        "learn_alone_s": learn,
        "steps": count,
    }
    what, measured = f"asynchronous step (max_staleness {staleness})", f"{asynchronous.step:.2f} s"
    return [
        Row(
            f"{what} against the limit",
            measured,
            f"max(generate {generate:.2f} s, learn {learn:.2f} s), each alone on one core",
            asynchronous.step / limit,
            AIM,
            detail,
        ),
        Row(
            f"{what} against synchronous",
            measured,
            f"max_staleness 0: {synchronous.step:.2f} s",
            asynchronous.step / synchronous.step,
            Aim(),
            detail,
        ),
    ]


async def _ready(running: Stack) -> None:
    """As `launch/training/rl.py` does: what precedes RL runs while the engine starts, then version 0 is published."""
    recipe, cluster = running.recipe, running.cluster
    run = RunFolder(running.policy_dir.parent)
    await train_before(recipe, cluster, running.policy_dir, run, Progress("steps"))
    await cluster.learner_ready()
    await cluster.engines_ready()
    await cluster.learner.publish(0)


async def _steps(running: Stack, max_staleness: int, first: int, count: int) -> Steps:
    """`count` steps of the loop, versions from `first` on, after as many as it takes to fill it."""
    recipe, cluster = running.recipe, running.cluster
    made: Any = ray.remote(BufferActor).options(num_cpus=0, max_concurrency=1000)
    buffer: Actor[BufferActor] = Actor(made.remote(recipe.buffer, recipe.seed, recipe.learner.epochs))
    finished: list[Finished] = []
    sampler = Sampler(
        cluster.fleet,
        buffer,
        Admission(max_staleness, recipe.buffer.fresh_per_batch, recipe.rollout.max_concurrent_groups, first),
        TaskStream(running.tasks.train, running.tasks.weights, recipe.seed),
        group_size=recipe.rollout.group_size,
        take_deadline_s=recipe.buffer.take_deadline_s,
        on_finished=finished.append,
        on_failure=cluster.fail,
    )
    sampler.published(first)
    batches: list[TakenBatch] = []
    learn: list[float] = []
    publish: list[float] = []
    started, cpu = 0.0, {}
    for version in range(first, first + _FILLING + count):
        if version == first + _FILLING:
            started, cpu = time.monotonic(), cpu_seconds()
            finished.clear()
        batch = await sampler.batch(version)
        trained = await cluster.learner.train(batch.groups, version)
        published = await cluster.learner.publish(version + 1)
        sampler.published(version + 1)
        await cluster.fleet.stats()
        batches.append(batch)
        learn.append(trained.ended - trained.started)
        publish.append(published.seconds)
    wall = time.monotonic() - started
    used = {kind: (seconds - cpu.get(kind, 0.0)) / count for kind, seconds in cpu_seconds().items()}
    groups = len(finished)
    await sampler.stop()
    await _idle(running)
    buffer.kill()
    measured = batches[_FILLING:]
    return Steps(
        count,
        wall / count,
        _mean([b.waited_seconds for b in measured]),
        _mean(learn[_FILLING:]),
        _mean(publish[_FILLING:]),
        groups,
        [b.groups for b in measured],
        used,
    )


async def _idle(running: Stack) -> None:
    """Until the engines have finished what was given up."""
    while True:
        await asyncio.sleep(0.5)
        if not any(stats.tokens for stats in (await running.cluster.fleet.stats()).engines):
            return


async def _generate_alone(running: Stack, groups: int) -> float:
    """Seconds to sample and verify as many groups, with the recipe's number in flight."""
    recipe, fleet = running.recipe, running.cluster.fleet
    stream = TaskStream(running.tasks.train, running.tasks.weights, recipe.seed)
    in_flight = asyncio.Semaphore(recipe.rollout.max_concurrent_groups)

    async def sample(number: int) -> None:
        async with in_flight:
            task = next(stream)
            request = SampleRequest(task, f"{task.id}#alone{number}", 0, recipe.rollout.group_size)
            await fleet.verify(task, (await fleet.sample(request)).responses)

    with one_core(of_actor(RolloutActor), core=_cores()[0]):
        started = time.monotonic()
        await asyncio.gather(*(sample(number) for number in range(groups)))
        return time.monotonic() - started


async def _learn_alone(running: Stack, batches: Sequence[Any]) -> float:
    """Mean seconds to train on a batch."""
    learner = running.cluster.learner
    with one_core(of_actor(LearnerActor), core=_cores()[-1]):
        trained = [await learner.train(batch, 500 + number) for number, batch in enumerate(batches)]
    return _mean([t.ended - t.started for t in trained])


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _plain(steps: Steps) -> dict[str, Any]:
    return {
        "step_s": steps.step,
        "waited_s": steps.waited,
        "learn_s": steps.learn,
        "publish_s": steps.publish,
        "groups_sampled_per_step": steps.groups / steps.count,
        "cpu_s_per_step_by_process": dict(sorted(steps.cpu.items(), key=lambda item: -item[1])),
    }
