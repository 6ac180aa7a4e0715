"""Which groups are trained on again: the policy and the ordered pool it rules."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass

from reprise.core.types import Group

Rank = tuple[float, int, float, str]


@dataclass(frozen=True, slots=True, eq=False)
class Reusable:
    """A group that was trained on `uses` times.

    first_taken  the version of the batch that held it first, the same for all fresh groups of that batch
    lot          drawn once in [0, 1); breaks ties between equals
    """

    group: Group
    uses: int
    raw_variance: float
    lot: float
    first_taken: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """Who may be reused, and who first: high variance of the raw reward and low use.

    A group's age counts from the batch that held it first. Counted from its oldest token, long responses would be older
    than short ones of the same batch: they began earlier. They would come later and leave sooner, and reuse would be
    biased against long reasoning. The tokens of a group are thus up to `max_staleness` versions older than `max_age`.
    """

    max_uses: int
    max_age: int
    uses_per_take: int

    def spent(self, uses: int) -> bool:
        """True if one more batch would exceed `max_uses`."""
        return uses + self.uses_per_take > self.max_uses

    def oldest_allowed(self, version: int) -> int:
        """The earliest first batch of a group that a batch at `version` may still train on."""
        return version - self.max_age

    def rank(self, member: Reusable) -> Rank:
        """Sorts the best last: raw variance shared among the uses so far, then the younger, then by lot.

        The lot, not the order of arrival, decides among equals: short responses arrive first.
        """
        return (member.raw_variance / member.uses, member.first_taken, member.lot, member.group.id)


class ReusePool:
    """Groups that may be trained on again, in the policy's order.

    A list kept sorted by bisection: the best and the worst are at its ends, and any other is found in O(log n).
    """

    def __init__(self, policy: ReusePolicy) -> None:
        self._policy = policy
        self._ranks: list[Rank] = []
        self._members: dict[str, Reusable] = {}
        self._ids_by_version: defaultdict[int, dict[str, None]] = defaultdict(dict)
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, group_id: str) -> bool:
        return group_id in self._members

    def members(self) -> list[Reusable]:
        """All members, the best last."""
        return [self._members[rank[-1]] for rank in self._ranks]

    def add(self, member: Reusable) -> None:
        """Take in a group; it is not spent."""
        insort(self._ranks, self._policy.rank(member))
        self._members[member.group.id] = member
        self._ids_by_version[member.first_taken][member.group.id] = None
        self.nbytes += member.nbytes

    def take_best(self, count: int) -> list[Reusable]:
        """Remove and return up to `count` members, the best first."""
        return [self._remove(self._ranks.pop()) for _ in range(min(count, len(self._ranks)))]

    def evict_worst(self) -> None:
        """Remove the member that would be reused last."""
        self._remove(self._ranks.pop(0))

    def evict_aged(self, version: int) -> int:
        """Remove what is too old for a batch at `version`; returns how many."""
        too_old = [v for v in self._ids_by_version if v < self._policy.oldest_allowed(version)]
        evicted = [self._members[group_id] for v in too_old for group_id in self._ids_by_version[v]]
        for member in evicted:
            rank = self._policy.rank(member)
            self._remove(self._ranks.pop(bisect_left(self._ranks, rank)))
        return len(evicted)

    def _remove(self, rank: Rank) -> Reusable:
        member = self._members.pop(rank[-1])
        same_age = self._ids_by_version[member.first_taken]
        del same_age[member.group.id]
        if not same_age:
            del self._ids_by_version[member.first_taken]
        self.nbytes -= member.nbytes
        return member
