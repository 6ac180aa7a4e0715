"""Admission: may another group start, and may the learner take its batch, without breaking the staleness bound?

One batch of F = `fresh_per_batch` fresh groups is taken at every version. A group that starts at version s must be in
the batch of version s + `max_staleness` or an earlier one: that is its *latest version*. A group is *open* from its
start until it is consumed or closed. With the next batch at version n, all can be consumed in time if and only if

    for all k >= 0:  #(open groups with a latest version <= n - 1 + k)  <=  k * F

(k batches are left until version n - 1 + k; k = 0 says that none is overdue). Taking the earliest latest versions first
then consumes all in time. A group may start if this still holds with it. The learner may take its batch if this still
holds without that batch and with n + 1 for n; if it does not, a group that is still in flight is due, and the learner
waits for it.

Nothing is ever dropped for its age, and no wait lasts forever. While the learner waits at version n, groups in flight
end. If all are ready and there are F of them, taking the earliest F leaves the condition true. If fewer than F are
open, one more that starts at version n keeps it true: its latest version is at least n, and there is room for F then.
"""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

from reprise.core.errors import UserError


class AdmissionState(TypedDict):
    """An `Admission` as plain values."""

    next_take: int
    in_flight: dict[str, int]
    ready: dict[str, int]


class Admission:
    """The staleness rule. Pure: no clock, no I/O, no Ray; a decision costs O(max_staleness), whatever is open.

    max_staleness          versions between a group's start and the batch that trains on it, at most; 0 is synchronous
    fresh_per_batch        fresh groups in every batch
    max_concurrent_groups  groups in flight at most (being sampled or verified)
    next_take              the version of the next batch: the learner's version, or after a restart the restored one
    """

    def __init__(
        self, max_staleness: int, fresh_per_batch: int, max_concurrent_groups: int, next_take: int = 0
    ) -> None:
        self.max_staleness = max_staleness
        self.fresh_per_batch = fresh_per_batch
        self.max_concurrent_groups = max_concurrent_groups
        self.next_take = next_take
        self._in_flight: dict[str, int] = {}  # start version of each group
        self._ready: dict[str, int] = {}
        self._started: dict[str, int] = {}  # which of all groups it was, of those that are open
        self._number = 0
        self._in_flight_due: Counter[int] = Counter()
        self._ready_due: Counter[int] = Counter()

    @property
    def in_flight(self) -> int:
        """Groups being sampled or verified."""
        return len(self._in_flight)

    @property
    def ready(self) -> int:
        """Groups that the buffer has stored and no batch has taken."""
        return len(self._ready)

    @property
    def most_open(self) -> int:
        """Groups that may be open at once: those of a batch for each version that they may be behind, and for 0."""
        return (self.max_staleness + 1) * self.fresh_per_batch

    def is_in_flight(self, group_id: str) -> bool:
        return group_id in self._in_flight

    def may_start(self, version: int) -> bool:
        """True if a group whose every token will be sampled at `version` or later may start.

        `version` is the one that the engine serving the group holds: with engines that swap weights at different times,
        that engine's, or the lowest of all.
        """
        self._check_served(version)
        if len(self._in_flight) >= self.max_concurrent_groups:
            return False
        due = self._in_flight_due + self._ready_due
        due[version + self.max_staleness] += 1
        return self._all_met(due, self.next_take)

    def start(self, group_id: str, version: int) -> None:
        """The group is in flight, sampled at `version` or later."""
        if group_id in self._in_flight or group_id in self._ready:
            raise ValueError(f"group {group_id!r} is open already")
        if not self.may_start(version):
            raise ValueError(f"group {group_id!r} may not start at version {version}: ask may_start first")
        self._in_flight[group_id] = version
        self._started[group_id] = self._number
        self._number += 1
        self._in_flight_due[version + self.max_staleness] += 1

    def stored(self, group_id: str) -> None:
        """The buffer stored the group: in flight before, ready now."""
        version = self._leave_flight(group_id)
        self._ready[group_id] = version
        self._ready_due[version + self.max_staleness] += 1

    def closed(self, group_id: str) -> None:
        """The buffer rejected the group, or it was lost with its engine or verifier: its place is free."""
        self._leave_flight(group_id)
        del self._started[group_id]

    def may_take(self, version: int) -> bool:
        """True if the learner may take its batch at `version`; False if it has to wait for groups in flight."""
        if version != self.next_take:
            raise ValueError(f"the next batch is due at version {self.next_take}, not {version}")
        size = self.fresh_per_batch
        if len(self._ready) < size:
            return False
        due = self._in_flight_due + self._ready_due
        for latest in sorted(self._ready_due):
            taken = min(size, self._ready_due[latest])
            due[latest] -= taken
            size -= taken
        return self._all_met(+due, version + 1)

    def take(self, version: int) -> list[str]:
        """The fresh groups of the batch at `version`, which the learner takes now: those with the earliest latest
        versions, and among equals those that started first, which prefers no response for being short."""
        if not self.may_take(version):
            raise ValueError(f"no batch may be taken at version {version}: ask may_take first")
        ids = sorted(self._ready, key=lambda group_id: (self._ready[group_id], self._started[group_id]))
        ids = ids[: self.fresh_per_batch]
        for group_id in ids:
            self._drop(self._ready_due, self._ready.pop(group_id))
            del self._started[group_id]
        self.next_take = version + 1
        return ids

    def stragglers(self) -> list[str]:
        """The groups in flight with the earliest latest version: those that a waiting learner waits for."""
        earliest = min(self._in_flight.values(), default=None)
        return [group_id for group_id, version in self._in_flight.items() if version == earliest]

    def state(self) -> AdmissionState:
        """A plain dictionary for `restore`."""
        return {
            "next_take": self.next_take,
            "in_flight": dict(self._in_flight),
            "ready": {group_id: self._ready[group_id] for group_id in self._started if group_id in self._ready},
        }

    def restore(self, state: AdmissionState) -> list[str]:
        """Go on from a `state()` in a new Admission made with the restored learner's version.

        Returns the ids of the groups that were in flight: they are lost and closed; their tasks have to be posed again.
        Raises ValueError if learner and state are of different versions, and `UserError` if the groups that are ready
        were admitted under a larger `max_staleness` or `fresh_per_batch` and cannot all be trained on in time.
        """
        if state["next_take"] != self.next_take:
            raise ValueError(
                f"admission was saved before the batch of version {state['next_take']}, but the learner is at version "
                f"{self.next_take}: they come from different checkpoints"
            )
        due = Counter(version + self.max_staleness for version in state["ready"].values())
        if not self._all_met(due, self.next_take):
            raise UserError(
                f"{len(state['ready'])} finished groups of the checkpoint cannot be trained on within "
                f"rollout.max_staleness {self.max_staleness} at {self.fresh_per_batch} fresh groups a batch: resume "
                "with the values of the run that wrote it, or with larger ones"
            )
        self._ready = dict(state["ready"])
        self._ready_due = due
        self._started = {group_id: number for number, group_id in enumerate(self._ready)}
        self._number = len(self._ready)
        return list(state["in_flight"])

    def _all_met(self, due: Counter[int], next_take: int) -> bool:
        """Whether the batches from `next_take` on can consume all in time; counts only grow at a latest version."""
        open_by_then = 0
        for latest in sorted(due):
            open_by_then += due[latest]
            if open_by_then > (latest - next_take + 1) * self.fresh_per_batch:
                return False
        return True

    def _check_served(self, version: int) -> None:
        if version > self.next_take:
            raise ValueError(f"an engine serves version {version}, but the learner has only reached {self.next_take}")

    def _leave_flight(self, group_id: str) -> int:
        version = self._in_flight.pop(group_id)
        self._drop(self._in_flight_due, version)
        return version

    def _drop(self, due: Counter[int], version: int) -> None:
        latest = version + self.max_staleness
        due[latest] -= 1
        if not due[latest]:
            del due[latest]
