"""Admission and buffer together: the promises about staleness, reuse and progress, over random runs.

`Run` plays engines, verifier and learner in ticks. Two engines swap weights late and apart, groups take 1 to 30 ticks
and finish out of order, some teach nothing, some are lost, and the whole run may crash and be restored at any moment.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from small_groups import INFRA_ERROR, UNPARSEABLE, group, plain, settings

from reprise.buffer.settings import BufferSettings
from reprise.buffer.trajectory_buffer import Batch, TrajectoryBuffer
from reprise.core.types import Verdict
from reprise.rollout.admission import Admission

VERDICTS: dict[str, tuple[float | Verdict, ...]] = {
    "teaches": (0.0, 1.0),
    "zero_variance": (1.0, 1.0),
    "too_few_scored": (1.0, UNPARSEABLE),
    "infra_error": (INFRA_ERROR, INFRA_ERROR),
}


@dataclass(frozen=True)
class Setup:
    max_staleness: int
    max_concurrent: int
    buffer: BufferSettings
    epochs: int
    batches: int
    p_straggler: float
    p_rejected: float
    p_lost: float
    p_crash: float
    seed: int


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    batch_groups = draw(st.integers(1, 6))
    epochs = draw(st.integers(1, 2))
    fresh_fraction = draw(st.sampled_from([0.25, 0.5, 0.7, 1.0]))
    buffer = settings(
        batch_groups=batch_groups,
        fresh_fraction=fresh_fraction,
        max_groups=draw(st.integers(batch_groups, 20)),
        max_uses=epochs * draw(st.integers(2, 4)),
        max_age=draw(st.integers(1, 6)),
    )
    share = st.sampled_from([0.0, 0.1, 0.4])
    return Setup(
        max_staleness=draw(st.integers(0, 4)),
        max_concurrent=draw(st.integers(1, 20)),
        buffer=buffer,
        epochs=epochs,
        batches=draw(st.integers(1, 20)),
        p_straggler=draw(share),
        p_rejected=draw(share),
        p_lost=draw(share),
        p_crash=draw(st.sampled_from([0.0, 0.0, 0.02])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@dataclass
class Engine:
    """Serves `version`; ticks left until it serves the learner's, 0 if it does."""

    version: int = 0
    swap_in: int = 0


@dataclass
class InFlight:
    """A group on an engine: ticks left, and the version of the token sampled in each tick so far."""

    engine: Engine
    start: int
    ticks_left: int
    versions: list[int] = field(default_factory=list)


class Run:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.random = random.Random(setup.seed)
        self.buffer = TrajectoryBuffer(setup.buffer, setup.seed, setup.epochs)
        self.admission = self.new_admission(next_take=0)
        self.in_flight: dict[str, InFlight] = {}
        self.engines = [Engine(), Engine()]
        self.started = self.learner_version = self.learner_busy = 0
        self.stored: dict[str, int] = {}  # start version of each
        self.uses: Counter[str] = Counter()
        self.oldest: dict[str, int] = {}
        self.first_taken: dict[str, int] = {}
        self.batches: list[Batch] = []

    def new_admission(self, next_take: int) -> Admission:
        setup = self.setup
        return Admission(setup.max_staleness, setup.buffer.fresh_per_batch, setup.max_concurrent, next_take)

    def play(self) -> None:
        while len(self.batches) < self.setup.batches:
            self.sample()
            self.start_groups()
            self.learn()
            self.check_nobody_waits_for_ever()
            if self.random.random() < self.setup.p_crash:
                self.crash()

    def sample(self) -> None:
        for group_id, flight in self.random.sample(list(self.in_flight.items()), len(self.in_flight)):
            flight.versions.append(flight.engine.version)
            flight.ticks_left -= 1
            if self.random.random() < self.setup.p_lost / 10:
                self.lose(group_id)
            elif flight.ticks_left <= 0:
                self.finish(group_id, flight)

    def finish(self, group_id: str, flight: InFlight) -> None:
        del self.in_flight[group_id]
        kind = self.random.choice(list(VERDICTS)) if self.random.random() < self.setup.p_rejected else "teaches"
        made = group(group_id, VERDICTS[kind], flight.start, flight.versions)
        if self.buffer.add(made) is None:
            self.admission.stored(group_id)
            self.stored[group_id] = flight.start
            self.oldest[group_id] = min(flight.versions)
        else:
            self.admission.closed(group_id)

    def lose(self, group_id: str) -> None:
        del self.in_flight[group_id]
        self.admission.closed(group_id)

    def start_groups(self) -> None:
        engine = self.random.choice(self.engines)
        while self.admission.may_start(engine.version):
            group_id = f"task#{self.started}"
            self.started += 1
            straggles = self.random.random() < self.setup.p_straggler
            ticks = self.random.randint(1, 30 if straggles else 3)
            self.in_flight[group_id] = InFlight(engine, engine.version, ticks)
            self.admission.start(group_id, engine.version)

    def learn(self) -> None:
        for engine in self.engines:
            if engine.swap_in:
                engine.swap_in -= 1
                engine.version = engine.version if engine.swap_in else self.learner_version
        if self.learner_busy:
            self.learner_busy -= 1
            if not self.learner_busy:
                self.learner_version += 1
                for engine in self.engines:
                    engine.swap_in = engine.swap_in or self.random.randint(1, 6)
        elif self.admission.may_take(self.learner_version):
            self.take()
            self.learner_busy = self.random.randint(1, 6)

    def take(self) -> None:
        available = len(self.reusable())
        asked_for = self.admission.take(self.learner_version)
        batch = self.buffer.take(self.learner_version, asked_for)
        fresh = [g.id for g, again in zip(batch.groups, batch.reused) if not again]
        assert sorted(fresh) == sorted(asked_for)
        assert self.buffer.ready() == self.admission.ready
        self.check(batch, fresh, available)
        self.first_taken |= dict.fromkeys(fresh, self.learner_version)
        self.uses.update({g.id: self.setup.epochs for g in batch.groups})
        self.batches.append(batch)

    def reusable(self) -> list[str]:
        """What was trained on and may be again, were memory unbounded."""
        reuse = self.setup.buffer.reuse
        return [
            group_id
            for group_id, uses in self.uses.items()
            if uses + self.setup.epochs <= reuse.max_uses
            and self.learner_version - self.first_taken[group_id] <= reuse.max_age
        ]

    def check(self, batch: Batch, fresh: list[str], available: int) -> None:
        want = self.setup.buffer
        ids = [g.id for g in batch.groups]
        reused = [g.id for g, again in zip(batch.groups, batch.reused) if again]
        assert len(set(ids)) == len(ids), "a group is served twice in one batch"
        assert batch.ages == tuple(batch.version - self.oldest[i] for i in ids)
        assert all(self.uses[i] == 0 for i in fresh)
        assert all(self.learner_version - self.oldest[i] <= self.setup.max_staleness for i in fresh)
        assert all(self.uses[i] > 0 for i in reused)
        assert all(self.uses[i] + self.setup.epochs <= want.reuse.max_uses for i in ids)
        assert all(self.learner_version - self.first_taken[i] <= want.reuse.max_age for i in reused)
        assert all(age <= want.reuse.max_age + self.setup.max_staleness for age in batch.ages)
        assert len(fresh) >= want.fresh_fraction * len(ids) - 1e-9
        assert len(fresh) == want.fresh_per_batch
        if not self.buffer.counters()["evicted/memory"]:
            assert len(reused) == min(available, want.reused_per_batch), "reusable groups were lost"
        held = batch.metrics["buffer/fresh"] + batch.metrics["buffer/reusable"]
        assert held <= want.max_groups or batch.metrics["buffer/reusable"] == 0

    def check_nobody_waits_for_ever(self) -> None:
        """With nothing in flight and the engines up to date, somebody can go on."""
        if self.in_flight or self.learner_busy or any(e.swap_in for e in self.engines):
            return
        may_start = self.admission.may_start(self.learner_version)
        assert may_start or self.admission.may_take(self.learner_version), "deadlock"

    def crash(self) -> None:
        """Everything but the last saved state is gone; what was in flight is lost. A step in progress is finished."""
        saved = copy.deepcopy((self.buffer.state(), self.admission.state()))
        if self.learner_busy:
            self.learner_version += 1
        self.learner_busy = 0
        self.engines = [Engine(self.learner_version), Engine(self.learner_version)]
        self.buffer = TrajectoryBuffer(self.setup.buffer, self.setup.seed, self.setup.epochs)
        self.buffer.restore(saved[0])
        assert plain(self.buffer.state()) == plain(saved[0])
        self.admission = self.new_admission(self.learner_version)
        assert set(self.admission.restore(saved[1])) == set(self.in_flight)
        self.in_flight.clear()


@given(setups())
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_random_run_keeps_every_promise(setup: Setup) -> None:
    run = Run(setup)
    run.play()
    trained_fresh = [g.id for b in run.batches for g, again in zip(b.groups, b.reused) if not again]
    waiting = [g["id"] for g in run.buffer.state()["fresh"]]
    assert sorted(trained_fresh + waiting) == sorted(run.stored), "no stored group is lost or twice trained on as fresh"
    next_take = run.admission.next_take
    assert all(run.stored[i] + setup.max_staleness >= next_take for i in waiting), (
        "none waits beyond its latest version"
    )
    counts = run.buffer.counters()
    assert counts["groups/admitted"] == len(run.stored)
    # Conservation: what was trained on is reusable still, or evicted for a reason that was counted.
    evicted = counts["evicted/max_uses"] + counts["evicted/max_age"] + counts["evicted/memory"]
    assert evicted + len(run.buffer.state()["reusable"]) == len(trained_fresh)
    sampled = sum(batch.metrics["trajectories/sampled"] for batch in run.batches)
    assert sampled <= counts["trajectories/sampled"]


@given(setups(), st.integers(1, 200))
@hypothesis_settings(max_examples=40, deadline=None)
def test_a_restored_buffer_goes_on_exactly_as_the_original(setup: Setup, ticks: int) -> None:
    run = Run(setup)
    for _ in range(ticks):
        run.sample()
        run.start_groups()
        run.learn()
    state = run.buffer.state()
    json.dumps(state, default=np.ndarray.tolist)
    twin = TrajectoryBuffer(setup.buffer, seed=setup.seed + 1, uses_per_take=setup.epochs)
    twin.restore(copy.deepcopy(state))
    for version in range(run.learner_version + 1, run.learner_version + 4):
        for n in range(setup.buffer.fresh_per_batch):
            assert twin.add(group(f"late#{version}.{n}", start=version)) == run.buffer.add(
                group(f"late#{version}.{n}", start=version)
            )
        fresh = [g["id"] for g in twin.state()["fresh"]][: setup.buffer.fresh_per_batch]
        ours, theirs = run.buffer.take(version, fresh), twin.take(version, fresh)
        assert [g.id for g in ours.groups] == [g.id for g in theirs.groups]
        assert (ours.reused, ours.ages, ours.metrics) == (theirs.reused, theirs.ages, theirs.metrics)
    assert plain(twin.state()) == plain(run.buffer.state())


@given(st.integers(1, 6), st.integers(1, 10), st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=40, deadline=None)
def test_without_staleness_and_reuse_every_token_is_on_policy(batch_groups: int, batches: int, seed: int) -> None:
    buffer = settings(batch_groups=batch_groups, fresh_fraction=1.0, max_uses=1)
    run = Run(Setup(0, 100, buffer, 1, batches, 0.2, 0.2, 0.0, 0.0, seed))
    run.play()
    for batch in run.batches:
        assert not any(batch.reused)
        assert all((t.versions == batch.version).all() for g in batch.groups for t in g.trajectories)
