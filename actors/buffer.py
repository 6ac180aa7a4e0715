"""The buffer actor: the trajectory buffer, and what the driver needs to know of what passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from buffer.settings import BufferSettings
from buffer.trajectory_buffer import Admitted, TrajectoryBuffer
from buffer.types import Group
from rollout.engine import Episode


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a group, with its times in seconds and the buffer's totals. `reason` is None if it was stored."""

    reason: str | None
    generate_seconds: float
    verify_seconds: float
    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """A batch without its arrays, for the driver: ids of its fresh groups, metrics, and the buffer's totals."""

    fresh_ids: tuple[str, ...]
    metrics: dict[str, float]
    counters: dict[str, int]


class BufferActor:
    """Hosts the `TrajectoryBuffer`; batches go from here to the learner without passing the driver."""

    def __init__(self, settings: BufferSettings, seed: int, uses_per_take: int) -> None:
        self._buffer = TrajectoryBuffer(settings, seed, uses_per_take)
        self._scores: dict[str, list[np.ndarray]] = {}

    async def start(self) -> None:
        """Nothing to acquire."""

    async def alive(self) -> None:
        """Never returns: its caller learns of the actor's death."""
        await asyncio.Event().wait()

    async def add(self, episodes: list[Episode]) -> Added:
        """Store or reject one judged group. `Starvation` ends the run."""
        (episode,) = episodes
        self._scores.setdefault(episode.group.task.domain, []).append(episode.group.scores)
        outcome = self._buffer.add(episode.group)
        reason = None if isinstance(outcome, Admitted) else str(outcome.reason)
        return Added(reason, episode.generate_seconds, episode.verify_seconds, self._buffer.counters())

    async def take(self, version: int, fresh: int) -> tuple[list[Group], BatchInfo]:
        """The batch of `version` in two parts: the groups for the learner, the rest for the driver."""
        batch = self._buffer.take(version, fresh)
        if batch is None:
            raise RuntimeError(f"the buffer holds {self._buffer.ready()} fresh groups and was asked for {fresh}")
        fresh_ids = tuple(g.id for g, again in zip(batch.groups, batch.reused, strict=True) if not again)
        metrics = batch.metrics | _mean_rewards(self._scores) | {"tokens/response_mean": _mean_length(batch.groups)}
        self._scores = {}
        return list(batch.groups), BatchInfo(fresh_ids, metrics, self._buffer.counters())

    async def close(self) -> None:
        """Nothing to release."""


def _mean_rewards(scores: Mapping[str, Sequence[np.ndarray]]) -> dict[str, float]:
    """Mean raw score overall and by domain, of all judged groups: those without variance are rejected by the buffer,
    and a mean over the others would hide both failure and success."""
    by_domain = {domain: np.concatenate(parts) for domain, parts in sorted(scores.items())}
    everything = np.concatenate([*by_domain.values(), np.zeros(0, np.float32)])
    return {"reward/mean": _mean(everything)} | {f"reward/{d}": _mean(values) for d, values in by_domain.items()}


def _mean(scores: np.ndarray) -> float:
    scored = scores[~np.isnan(scores)]
    return float(scored.mean()) if len(scored) else float("nan")


def _mean_length(groups: Sequence[Group]) -> float:
    """Mean response length in tokens."""
    return float(np.mean([len(t.response_ids) for group in groups for t in group.trajectories]))
