"""A run in simulated time: the real decisions, with engines and a learner that only take their time.

Each of `concurrent` slots samples a group in a time proportional to its length, lognormal; the learner takes `learn`
for a batch and then publishes at once. Time 1 is that of a mean group in its slot.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from small_groups import group, settings

from reprise.buffer.trajectory_buffer import TrajectoryBuffer
from reprise.core.types import Task
from reprise.rollout.admission import Admission
from reprise.rollout.episodes.base import SampleRequest
from reprise.rollout.open_groups import OpenGroups


@dataclass
class Simulated:
    """What happened to each group, in order of start, and to each batch."""

    lengths: list[float] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)  # mean age of each batch's fresh groups, versions
    current: list[bool] = field(default_factory=list)  # whether a token of the batch is of the batch's own version
    reused: list[int] = field(default_factory=list)
    waited: float = 0.0
    time: float = 0.0

    def passes_by_quartile(self, skip: int) -> list[float]:
        """Mean passes of the shortest quarter of the groups, the next, …; the first and last `skip` are left out."""
        lengths, passes = np.array(self.lengths[skip:-skip]), np.array(self.passes[skip:-skip])
        order = np.argsort(lengths)
        return [float(passes[part].mean()) for part in np.array_split(order, 4)]


def simulate(
    *,
    batch_groups: int,
    fresh_fraction: float,
    max_uses: int,
    max_age: int,
    max_staleness: int,
    concurrent: int,
    learn: float,
    batches: int,
    spread: float = 1.0,
    seed: int = 0,
    admission: Callable[[int, int, int], Admission] = Admission,
) -> Simulated:
    """The run's first batches; `spread` is the standard deviation of the log of a length."""
    of_buffer = settings(batch_groups=batch_groups, fresh_fraction=fresh_fraction, max_uses=max_uses, max_age=max_age)
    buffer, fresh = TrajectoryBuffer(of_buffer, seed), of_buffer.fresh_per_batch
    rule = admission(max_staleness, fresh, concurrent)
    tasks = (Task(str(n), "?", "d", "exact") for n in itertools.count())
    groups = OpenGroups(rule, tasks, group_size=2)
    rng = np.random.default_rng(seed)
    ran = Simulated()
    ends: list[tuple[float, int, SampleRequest]] = []
    now, version = 0.0, 0

    def start(requests: list[SampleRequest]) -> None:
        for request in requests:
            length = float(rng.lognormal(-spread * spread / 2, spread))
            heapq.heappush(ends, (now + length, len(ran.lengths), request))
            ran.lengths.append(length)
            ran.passes.append(0)

    def next_end() -> None:
        nonlocal now
        now, _, request = heapq.heappop(ends)
        buffer.add(group(request.group_id, start=request.start_version, versions=(request.start_version, version)))
        start(groups.stored(request.group_id))

    start(groups.published(0))
    for version in range(batches):
        asked, waited = now, False
        while not rule.may_take(version):
            waited = True
            next_end()
        ran.waited += now - asked
        group_ids, requests = groups.take(version, waited)
        batch = buffer.take(version, group_ids)
        for each in batch.groups:
            ran.passes[int(each.id.partition("#")[0])] += 1
        taken = [g for g, again in zip(batch.groups, batch.reused) if not again]
        ran.ages.append(float(np.mean([version - g.oldest_version for g in taken])))
        ran.current.append(any((t.versions == version).any() for g in taken for t in g.trajectories))
        ran.reused.append(sum(batch.reused))
        start(requests)
        published = now + learn
        while ends and ends[0][0] <= published:
            next_end()
        now = published
        start(groups.published(version + 1))
    ran.time = now
    return ran
