"""The buffer actor: the trajectory buffer, and what the driver needs to know of what passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reprise.actors.remote import in_two
from reprise.buffer.settings import BufferSettings
from reprise.buffer.trajectory_buffer import TrajectoryBuffer
from reprise.core.types import Group, Verdict
from reprise.rewards.tally import Tally


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a group, with the totals so far. `reason` is None if it was stored.

    counters  the buffer's
    answers   by domain and status
    """

    reason: str | None
    counters: dict[str, int]
    answers: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """A batch without its arrays, for the driver: metrics, and the buffer's totals.

    current  whether any token that is trained on was sampled by the very version that takes the batch
    """

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

    async def add(self, group: Group, verdicts: Sequence[Verdict]) -> Added:
        """Store or reject a group, with one verdict for each trajectory. `Starvation` ends the run."""
        self._tally.add(group.task.domain, verdicts)
        reason = self._buffer.add(group.verified(verdicts))
        return Added(None if reason is None else str(reason), self._buffer.counters(), self._tally.totals())

    @in_two
    async def take(self, version: int, group_ids: Sequence[str]) -> tuple[list[Group], BatchInfo]:
        """The batch of `version` with these fresh groups, in two parts: the groups for the learner, the rest for the
        driver."""
        batch = self._buffer.take(version, group_ids)
        metrics = batch.metrics | self._tally.metrics() | {"tokens/response_mean": _mean_length(batch.groups)}
        current = any(_samples_of(group, version) for group in batch.groups)
        return list(batch.groups), BatchInfo(current, metrics, self._buffer.counters())

    async def close(self) -> None:
        """Nothing to release."""


def _samples_of(group: Group, version: int) -> bool:
    assert group.weighted is not None
    trained = (t for t, weighted in zip(group.trajectories, group.weighted, strict=True) if weighted)
    return any((t.versions[t.trainable] == version).any() for t in trained)


def _mean_length(groups: Sequence[Group]) -> float:
    """Mean response length in tokens."""
    return float(np.mean([len(t.response_ids) for group in groups for t in group.trajectories]))
