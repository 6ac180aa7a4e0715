"""Who was busy when: exact arithmetic over intervals of time.

Plain and pure: callers bring the seconds (one clock for all of them: `time.monotonic` on one machine, `time.time`
across machines), so that overlap and idle shares can be tested to the last digit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

Interval = tuple[float, float]  # start, end in seconds; start <= end


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted, disjoint intervals that cover the same seconds; touching ones are joined and empty ones dropped."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        _check(start, end)
        if start == end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def intersection(a: Iterable[Interval], b: Iterable[Interval]) -> list[Interval]:
    """Sorted, disjoint intervals of the seconds that lie both in some interval of `a` and in some interval of `b`."""
    left, right = union(a), union(b)
    both: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            both.append((start, end))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return both


def length(intervals: Iterable[Interval]) -> float:
    """Seconds covered, none counted twice."""
    return sum(end - start for start, end in union(intervals))


def overlap(busy: Sequence[Interval], other: Sequence[Interval]) -> float:
    """The share of `busy` during which `other` ran too, in [0, 1]; 0 if `busy` covers nothing.

    `overlap(learner_busy, engine_busy)` is the `overlap` of summary.json.
    """
    seconds = length(busy)
    return length(intersection(busy, other)) / seconds if seconds else 0.0


class Timeline:
    """Busy intervals by phase ("learn", "generate", ...) and actor ("learner-0", "engine-1", ...).

    Each phase of each actor is kept as disjoint intervals. An actor that works without a pause reports intervals that
    touch, which are joined, so that memory grows with its pauses and not with its steps.
    """

    def __init__(self) -> None:
        self._busy: dict[tuple[str, str], list[Interval]] = {}

    def add(self, phase: str, actor: str, start: float, end: float) -> None:
        """Record that `actor` was in `phase` from `start` to `end`, in any order; overlaps are counted once."""
        _check(start, end)
        if start == end:
            return
        kept = self._busy.setdefault((phase, actor), [])
        first = bisect_left(kept, start, key=lambda interval: interval[1])  # the first that ends at or after `start`
        last = bisect_right(kept, end, key=lambda interval: interval[0])  # one past the last that starts by `end`
        if first < last:
            start, end = min(start, kept[first][0]), max(end, kept[last - 1][1])
        kept[first:last] = [(start, end)]

    def extend(self, phase: str, actor: str, intervals: Iterable[Interval]) -> None:
        """Record many intervals of one phase of one actor."""
        for start, end in intervals:
            self.add(phase, actor, start, end)

    def intervals(
        self, phase: str, actor: str | None = None, since: float = float("-inf"), until: float = float("inf")
    ) -> list[Interval]:
        """Disjoint intervals in which the actor (any actor if None) was in `phase`, cut to [since, until]."""
        chosen = [busy for (p, a), busy in self._busy.items() if p == phase and actor in (None, a)]
        return union(interval for busy in chosen for interval in _cut(busy, since, until))

    def busy(
        self, phase: str, actor: str | None = None, since: float = float("-inf"), until: float = float("inf")
    ) -> float:
        """Seconds in [since, until] in which the actor (any actor if None) was in `phase`."""
        return length(self.intervals(phase, actor, since, until))

    def overlap(self, phase: str, other: str, since: float = float("-inf"), until: float = float("inf")) -> float:
        """The share of the time anyone was in `phase` during which anyone was in `other`."""
        return overlap(self.intervals(phase, None, since, until), self.intervals(other, None, since, until))

    def idle_share(self, phase: str, actors: Sequence[str], since: float, until: float) -> float:
        """The share of [since, until] that an actor was not in `phase`, mean over `actors`; 0 for an empty window.

        `actors` is given, not remembered, so that one that never worked counts as idle and not as absent.
        """
        if until <= since or not actors:
            return 0.0
        shares = [1.0 - self.busy(phase, actor, since, until) / (until - since) for actor in actors]
        return min(1.0, max(0.0, sum(shares) / len(shares)))


def _cut(busy: list[Interval], since: float, until: float) -> list[Interval]:
    first = bisect_right(busy, since, key=lambda interval: interval[1])
    last = bisect_left(busy, until, key=lambda interval: interval[0])
    return [(max(start, since), min(end, until)) for start, end in busy[first:last]]


def _check(start: float, end: float) -> None:
    if not start <= end:  # NaN too
        raise ValueError(f"an interval must end after it starts, not run from {start} to {end}")
