"""The trajectory buffer: what groups are kept, and what the learner's next batch is made of.

Pure: no clock, no I/O, no Ray. Fresh groups leave when they are asked for by name (rollout/admission.py says which are
due); they are never dropped. Groups that were trained on wait in the reuse pool until they
are picked again, too often used, too old, or in the way of fresh ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from reprise.buffer.advantages import Reason, group_advantages, raw_variance, teaches_nothing
from reprise.buffer.persistence import Plain, group_from_plain, group_to_plain
from reprise.buffer.reuse import Reusable, ReusePolicy, ReusePool
from reprise.buffer.settings import BufferSettings
from reprise.buffer.starvation import Streak, StreakState
from reprise.core.types import Group, Status

COUNTERS = (
    "groups/admitted",
    *(f"groups/{reason}" for reason in Reason),
    "groups/trained",
    "groups/reused",
    "trajectories/sampled",
    "trajectories/unparseable",
    "trajectories/infra_error",
    "trajectories/truncated",
    "trajectories/invalid_logprobs",
    "trajectories/trained",
    "trajectories/reused",
    "evicted/max_uses",
    "evicted/max_age",
    "evicted/memory",
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What the learner trains on at `version`, fresh groups first.

    reused   one flag a group: trained on before
    ages     one age a group: `version` minus the lowest version among its trainable tokens
    metrics  every counter's increase since the batch before, and the make-up of this one
    """

    version: int
    groups: tuple[Group, ...]
    reused: tuple[bool, ...]
    ages: tuple[int, ...]
    metrics: dict[str, float]


class _Kept(TypedDict):
    group: Plain
    uses: int
    first_taken: int
    lot: float


class BufferState(TypedDict):
    """A buffer as plain dictionaries, lists, numbers and numpy arrays."""

    fresh: list[Plain]
    reusable: list[_Kept]
    last_version: int | None
    rng: Mapping[str, object]
    counts: dict[str, int]
    counts_at_last_take: dict[str, int]
    streak: StreakState


class TrajectoryBuffer:
    """Groups between rollout and learner. `uses_per_take` is `learner.epochs`: passes over each batch.

    Raises `UserError` if that many uses do not fit into `reuse.max_uses`.
    """

    def __init__(self, settings: BufferSettings, seed: int, uses_per_take: int = 1) -> None:
        settings.check_epochs(uses_per_take)
        self._settings = settings
        self._uses_per_take = uses_per_take
        # Without room for reused groups in a batch there is nothing to keep them for.
        max_uses = settings.reuse.max_uses if settings.reused_per_batch else uses_per_take
        self._policy = ReusePolicy(max_uses, settings.reuse.max_age, uses_per_take)
        self._pool = ReusePool(self._policy)
        self._fresh: dict[str, Group] = {}
        self._fresh_nbytes = 0
        self._last_version: int | None = None
        self._rng = np.random.default_rng(seed)
        self._counts: Counter[str] = Counter()
        self._counts_at_last_take: Counter[str] = Counter()
        self._streak = Streak(settings.starvation_groups)

    def add(self, group: Group) -> Reason | None:
        """Store a group with verdicts as fresh, or reject it by its advantages: then the answer is the reason.

        Raises `Starvation` at the `starvation_groups`-th rejection in a row, and ValueError for a group that is already
        here or has a trajectory without a verdict.
        """
        if group.id in self._fresh or group.id in self._pool:
            raise ValueError(f"group {group.id!r} was added twice")
        group = group_advantages(group, self._settings.normalize_std, self._settings.truncated)
        for trajectory in group.trajectories:
            assert trajectory.verdict is not None
            self._counts["trajectories/sampled"] += 1
            self._counts["trajectories/truncated"] += trajectory.truncated
            self._counts["trajectories/invalid_logprobs"] += not trajectory.has_valid_logprobs
            if trajectory.verdict.status is not Status.SCORED:
                self._counts[f"trajectories/{trajectory.verdict.status}"] += 1
        if (reason := teaches_nothing(group)) is not None:
            self._counts[f"groups/{reason}"] += 1
            self._streak.rejected(group, reason)
            return reason
        self._counts["groups/admitted"] += 1
        self._streak.end()
        self._push_fresh(group)
        self._bound_memory()
        return None

    def ready(self) -> int:
        """Fresh groups waiting to be trained on."""
        return len(self._fresh)

    def take(self, version: int, group_ids: Collection[str]) -> Batch:
        """The batch to train on at the learner's `version`: the fresh groups of these ids, at most `fresh_per_batch`.

        As many reused groups join them as `batch_groups` and `fresh_fraction` allow and the pool holds. Versions must
        rise from take to take.
        """
        if not 1 <= len(set(group_ids)) == len(group_ids) <= self._settings.fresh_per_batch:
            most = self._settings.fresh_per_batch
            raise ValueError(f"a batch takes 1 to {most} different fresh groups, not {list(group_ids)}")
        if self._last_version is not None and version <= self._last_version:
            raise ValueError(f"a batch was taken at version {self._last_version} already: {version} is not a later one")
        if missing := [group_id for group_id in group_ids if group_id not in self._fresh]:
            raise ValueError(f"groups that the buffer does not hold as fresh cannot be taken: {missing}")
        self._last_version = version
        self._counts["evicted/max_age"] += self._pool.evict_aged(version)

        reused = self._pool.take_best(self._room_for_reused(len(group_ids)))
        # In an order that arrival has no part in, nor in the lots that are drawn: two runs can agree to the last bit.
        first = [self._pop_fresh(group_id) for group_id in sorted(group_ids)]
        groups = (*first, *(member.group for member in reused))
        is_reused = (False,) * len(first) + (True,) * len(reused)
        ages = tuple(version - group.oldest_version for group in groups)
        if min(ages) < 0:
            raise ValueError(f"a batch at version {version} has tokens of version {version - min(ages)}")
        # Only now do they (re)enter the pool, so no group is twice in one batch.
        for group in first:
            self._keep(group, self._uses_per_take, version, self._rng.random())
        for member in reused:
            self._keep(member.group, member.uses + self._uses_per_take, member.first_taken, member.lot)
        self._bound_memory()
        self._count_batch(groups, is_reused)
        return Batch(version, groups, is_reused, ages, self._metrics(is_reused, ages))

    def counters(self) -> dict[str, int]:
        """Totals since the run began. `trained` counts what entered a batch's loss, `reused` the part of it that had
        been trained on before."""
        return {name: self._counts[name] for name in COUNTERS}

    def state(self) -> BufferState:
        """All of the buffer, for `restore`."""
        reusable: list[_Kept] = [
            {"group": group_to_plain(m.group), "uses": m.uses, "first_taken": m.first_taken, "lot": m.lot}
            for m in self._pool.members()
        ]
        return {
            "fresh": [group_to_plain(group) for group in self._fresh.values()],
            "reusable": reusable,
            "last_version": self._last_version,
            "rng": self._rng.bit_generator.state,
            "counts": {name: n for name, n in self._counts.items() if n},
            "counts_at_last_take": {name: n for name, n in self._counts_at_last_take.items() if n},
            "streak": self._streak.state(),
        }

    def restore(self, state: BufferState) -> None:
        """Go on from a `state()`, in a new buffer. Settings may differ: what they no longer allow is evicted."""
        if self._fresh or self._pool or self._last_version is not None:
            raise ValueError("restore into a new buffer: this one has groups of its own")
        self._last_version = state["last_version"]
        self._rng.bit_generator.state = state["rng"]
        self._counts = Counter(state["counts"])
        self._counts_at_last_take = Counter(state["counts_at_last_take"])
        self._streak.restore(state["streak"])
        for plain in state["fresh"]:
            self._push_fresh(group_from_plain(plain))
        for entry in state["reusable"]:
            self._keep(group_from_plain(entry["group"]), entry["uses"], entry["first_taken"], entry["lot"])
        self._bound_memory()

    def _push_fresh(self, group: Group) -> None:
        self._fresh[group.id] = group
        self._fresh_nbytes += group.nbytes

    def _pop_fresh(self, group_id: str) -> Group:
        group = self._fresh.pop(group_id)
        self._fresh_nbytes -= group.nbytes
        return group

    def _room_for_reused(self, fresh: int) -> int:
        """Reused groups that may join `fresh` fresh ones without breaking `fresh_fraction`."""
        largest = math.floor(fresh / self._settings.fresh_fraction + 1e-9)
        return min(self._settings.batch_groups, largest) - fresh

    def _keep(self, group: Group, uses: int, first_taken: int, lot: float) -> None:
        if self._policy.spent(uses):
            self._counts["evicted/max_uses"] += 1
        else:
            self._pool.add(Reusable(group, uses, raw_variance(group), lot, first_taken, group.nbytes))

    def _bound_memory(self) -> None:
        """Evict reusable groups until the bounds hold. Fresh groups stay: admission bounds how many there are."""
        max_bytes = self._settings.max_bytes_mb * 1e6
        while self._pool and (
            len(self._fresh) + len(self._pool) > self._settings.max_groups
            or self._fresh_nbytes + self._pool.nbytes > max_bytes
        ):
            self._pool.evict_worst()
            self._counts["evicted/memory"] += 1

    def _count_batch(self, groups: tuple[Group, ...], is_reused: tuple[bool, ...]) -> None:
        for group, again in zip(groups, is_reused, strict=True):
            assert group.weighted is not None
            trajectories = int(group.weighted.sum())
            self._counts["groups/trained"] += 1
            self._counts["trajectories/trained"] += trajectories
            self._counts["groups/reused"] += again
            self._counts["trajectories/reused"] += trajectories * again

    def _metrics(self, is_reused: tuple[bool, ...], ages: tuple[int, ...]) -> dict[str, float]:
        metrics: dict[str, float] = {name: self._counts[name] - self._counts_at_last_take[name] for name in COUNTERS}
        self._counts_at_last_take = Counter(self._counts)
        return metrics | {
            "reuse/fraction": sum(is_reused) / len(is_reused),
            "reuse/staleness_mean": sum(ages) / len(ages),
            "fresh/staleness_max": max(age for age, again in zip(ages, is_reused, strict=True) if not again),
            "buffer/fresh": len(self._fresh),
            "buffer/reusable": len(self._pool),
            "buffer/bytes": self._fresh_nbytes + self._pool.nbytes,
        }
