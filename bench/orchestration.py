"""What a trajectory costs that is neither model nor verifier.

The real cluster with the real sampler, fleet, rollout actor, codec, verifier actor, buffer actor and learner group.
Only vLLM itself is replaced, by answers made before, and the learner's training, by nothing. What the verifier measures
of its own work is taken off.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from processes import cpu_seconds
from rows import Aim, Row
from stack import Stack, stack
from stand_ins import ANSWER, InstantLearnerActor, InstantRolloutActor

from reprise.actors.rollout import RolloutActor
from reprise.actors.sampler import Finished, Sampler
from reprise.core.types import Task
from reprise.rollout.admission import Admission

AIM = Aim(at_most=2.0, unit="ms")
_WARM_UP = 5  # batches before the clock starts: Ray starts processes and fills its pools


async def measure(folder: Path, quick: bool) -> list[Row]:
    """Wall time a trajectory with the recipe's groups in flight, and CPU time of all processes together."""
    overrides = ["before=null", "rollout.group_size=8"]
    async with stack(folder, overrides, RolloutActor=InstantRolloutActor, LearnerActor=InstantLearnerActor) as running:
        await running.cluster.learner_ready()
        await running.cluster.engines_ready()
        return await _measure(running, batches=20 if quick else 60)


async def _measure(running: Stack, batches: int) -> list[Row]:
    recipe, cluster = running.recipe, running.cluster
    (engine,) = cluster.fleet.engines
    await engine.call(RolloutActor.finish_weights, 0)
    groups: list[Finished] = []
    sampler = Sampler(
        cluster.fleet,
        cluster.buffer,
        Admission(recipe.rollout.max_staleness, recipe.buffer.fresh_per_batch, recipe.rollout.max_concurrent_groups),
        _tasks(),
        group_size=recipe.rollout.group_size,
        take_deadline_s=recipe.buffer.take_deadline_s,
        on_finished=groups.append,
        on_failure=cluster.fail,
    )
    sampler.published(0)
    started, cpu_before = 0.0, {}
    for version in range(_WARM_UP + batches):
        if version == _WARM_UP:
            groups.clear()
            started, cpu_before = time.monotonic(), cpu_seconds()
        batch = await sampler.batch(version)
        await cluster.learner.train(batch.groups, version)
        await engine.call(RolloutActor.finish_weights, version + 1)
        sampler.published(version + 1)
    wall = time.monotonic() - started
    cpu = {kind: used - cpu_before.get(kind, 0.0) for kind, used in cpu_seconds().items()}
    trajectories = len(groups) * recipe.rollout.group_size
    verifying = sum(group.verify_seconds for group in groups)
    await sampler.stop()

    where = {kind: 1e3 * used / trajectories for kind, used in sorted(cpu.items(), key=lambda item: -item[1])}
    detail = {"trajectories": trajectories, "verify_ms": 1e3 * verifying / trajectories, "cpu_ms_by_process": where}
    return [
        _row("wall time", 1e3 * (wall - verifying) / trajectories, detail),
        _row("CPU time of all processes", 1e3 * (sum(cpu.values()) - verifying) / trajectories, detail),
    ]


def _row(clock: str, milliseconds: float, detail: dict[str, object]) -> Row:
    return Row(
        f"orchestration a trajectory, in groups of 8: {clock}",
        f"{1e3 / milliseconds:,.0f} trajectories a second",
        "–",
        milliseconds,
        AIM,
        detail,
    )


def _tasks() -> Iterator[Task]:
    for number in itertools.count():
        yield Task(f"addition/{number}", "19+23=", "addition", "exact", ANSWER)
