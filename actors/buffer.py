"""The buffer actor: the trajectory buffer, and what the driver needs to know of what passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reprise.buffer.settings import BufferSettings
from reprise.buffer.trajectory_buffer import Admitted, TrajectoryBuffer
from reprise.core.types import Group
from reprise.rewards.tally import Tally
from reprise.rollout.engine import Episode


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a group, with its times in seconds and the totals so far. `reason` is None if it was stored.

    counters  the buffer's
    answers   by domain and status
    """

    reason: str | None
    verifier: str
    generate_seconds: float
    queue_seconds: float
    verify_seconds: float
    counters: dict[str, int]
    answers: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """A batch without its arrays, for the driver: ids of its fresh groups, metrics, and the buffer's totals.

    current  whether any token that is trained on was sampled by the very version that takes the batch
    """

    fresh_ids: tuple[str, ...]
    current: bool
    metrics: dict[str, float]
    counters: dict[str, int]


class BufferActor:
    """Hosts the `TrajectoryBuffer`; batches go from here to the learner without passing the driver."""

    def __init__(self, settings: BufferSettings, seed: int, uses_per_take: int) -> None:
        self._buffer = TrajectoryBuffer(settings, seed, uses_per_take)
        self._tally = Tally()

    async def start(self) -> None:
        """Nothing to acquire."""

    async def alive(self) -> None:
        """Never returns: its caller learns of the actor's death."""
        await asyncio.Event().wait()

    async def add(self, episodes: list[Episode]) -> Added:
        """Store or reject one judged group. `Starvation` ends the run."""
        (episode,) = episodes
        task = episode.group.task
        self._tally.add(task.domain, (t.verdict for t in episode.group.trajectories if t.verdict is not None))
        outcome = self._buffer.add(episode.group)
        return Added(
            reason=None if isinstance(outcome, Admitted) else str(outcome.reason),
            verifier=task.verifier,
            generate_seconds=episode.generate_seconds,
            queue_seconds=episode.queue_seconds,
            verify_seconds=episode.verify_seconds,
            counters=self._buffer.counters(),
            answers=self._tally.totals(),
        )

    async def take(self, version: int, fresh: int) -> tuple[list[Group], BatchInfo]:
        """The batch of `version` in two parts: the groups for the learner, the rest for the driver."""
        batch = self._buffer.take(version, fresh)
        if batch is None:
            raise RuntimeError(f"the buffer holds {self._buffer.ready()} fresh groups and was asked for {fresh}")
        fresh_ids = tuple(g.id for g, again in zip(batch.groups, batch.reused, strict=True) if not again)
        metrics = batch.metrics | self._tally.metrics() | {"tokens/response_mean": _mean_length(batch.groups)}
        current = any(_samples_of(group, version) for group in batch.groups)
        return list(batch.groups), BatchInfo(fresh_ids, current, metrics, self._buffer.counters())

    async def close(self) -> None:
        """Nothing to release."""


def _samples_of(group: Group, version: int) -> bool:
    assert group.weighted is not None
    trained = (t for t, weighted in zip(group.trajectories, group.weighted, strict=True) if weighted)
    return any((t.versions[t.trainable] == version).any() for t in trained)


def _mean_length(groups: Sequence[Group]) -> float:
    """Mean response length in tokens."""
    return float(np.mean([len(t.response_ids) for group in groups for t in group.trajectories]))
