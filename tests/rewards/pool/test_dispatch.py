"""Which batch goes to which actor: load, order, bound, and the batches that need an actor for themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reprise.rewards.pool.dispatch import Assigned, Dispatch, Recycle


def up(actors: int, concurrency: int = 1, queue: int = 2) -> Dispatch:
    dispatch = Dispatch(actors, concurrency, queue)
    for actor in range(actors):
        dispatch.up(actor)
    return dispatch


def steps(dispatch: Dispatch) -> list[tuple[object, int] | str]:
    made: list[tuple[object, int] | str] = []
    while (step := dispatch.next()) is not None:
        made.append((step.batch, step.actor) if isinstance(step, Assigned) else f"recycle {step.actor}")
    return made


def test_batches_go_to_the_least_loaded_actor_in_order() -> None:
    dispatch = up(2, concurrency=2)
    for batch in "abc":
        dispatch.submit(batch)
    assert steps(dispatch) == [("a", 0), ("b", 1), ("c", 0)]
    dispatch.done("a")
    dispatch.done("c")
    dispatch.submit("d")
    assert steps(dispatch) == [("d", 0)]


def test_an_actor_gets_no_more_than_its_concurrency_and_the_queue_counts_what_it_holds_back() -> None:
    dispatch = up(1, queue=2)
    for batch in "abcde":
        dispatch.submit(batch)
        steps(dispatch)
    assert (dispatch.waiting, dispatch.held_back, dispatch.ever_held_back) == (4, 2, 2)
    dispatch.done("a")
    assert steps(dispatch) == [("b", 0)]
    assert (dispatch.held_back, dispatch.ever_held_back) == (1, 2)


def test_nothing_goes_to_an_actor_that_is_down_or_suspect() -> None:
    dispatch = up(2)
    dispatch.down(0)
    dispatch.pause(1)
    dispatch.submit("a")
    assert steps(dispatch) == []
    dispatch.resume(1)
    assert steps(dispatch) == [("a", 1)]


def test_a_lost_batch_goes_before_new_ones_even_when_the_queue_is_full() -> None:
    dispatch = up(1, queue=1)
    for batch in "abc":
        dispatch.submit(batch)
    steps(dispatch)
    dispatch.down(0)
    dispatch.done("a")
    dispatch.again("a")
    dispatch.up(0)
    assert steps(dispatch) == [("a", 0)]


def test_a_batch_alone_gets_the_restarted_actor_and_nothing_else_goes_there_until_it_is_done() -> None:
    dispatch = up(2, concurrency=2)
    dispatch.submit("a")
    steps(dispatch)
    dispatch.down(0)
    dispatch.done("a")
    dispatch.alone("a")
    dispatch.submit("b")
    assert steps(dispatch) == [("a", 1)]  # it has verified nothing yet
    dispatch.up(0)
    assert steps(dispatch) == [("b", 0)]
    dispatch.submit("c")
    dispatch.submit("d")
    assert steps(dispatch) == [("c", 0)]
    dispatch.done("a")
    assert steps(dispatch) == [("d", 1)]


def test_where_no_actor_is_fresh_the_least_loaded_is_drained_and_started_anew() -> None:
    dispatch = up(1, concurrency=2)
    for batch in "ab":
        dispatch.submit(batch)
    steps(dispatch)
    dispatch.down(0)  # lost under both, and each must go alone
    for batch in "ab":
        dispatch.done(batch)
        dispatch.alone(batch)
    dispatch.up(0)
    assert steps(dispatch) == [("a", 0)]
    dispatch.submit("c")
    dispatch.done("a")
    assert steps(dispatch) == ["recycle 0"]
    dispatch.up(0)
    assert steps(dispatch) == [("b", 0)]
    dispatch.done("b")
    assert steps(dispatch) == [("c", 0)]


def test_a_busy_actor_that_is_wanted_for_one_alone_gets_no_new_work() -> None:
    dispatch = up(1, concurrency=2)
    dispatch.submit("a")
    steps(dispatch)
    dispatch.alone("x")
    dispatch.submit("b")
    assert steps(dispatch) == []
    dispatch.done("a")
    assert steps(dispatch) == ["recycle 0"]


def test_a_batch_that_is_given_up_leaves_no_trace() -> None:
    dispatch = up(1)
    for batch in "abc":
        dispatch.submit(batch)
    steps(dispatch)
    for batch in "ab":
        dispatch.done(batch)
        dispatch.done(batch)
    assert steps(dispatch) == [("c", 0)]


class AnyOrder(RuleBasedStateMachine):
    """Batches and actors come and go; who plays the pool here keeps its side of the agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = up(3, concurrency=2, queue=1)
        self.running: dict[Any, int] = {}
        self.lost: list[int] = []
        self.wants_alone: set[int] = set()
        self.starting: set[int] = set()
        self.fresh = {0, 1, 2}
        self.submitted = self.finished = 0

    @rule()
    def submit(self) -> None:
        self.dispatch.submit(self.submitted)
        self.submitted += 1

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.running:
            batch = data.draw(st.sampled_from(sorted(self.running)))
            self._leave(batch)
            self.finished += 1

    @rule(actor=st.integers(0, 2), alone=st.booleans())
    def lose(self, actor: int, alone: bool) -> None:
        if actor not in self.starting:
            self.dispatch.down(actor)
            self.starting.add(actor)
            for batch in [b for b, on in self.running.items() if on == actor]:
                self._leave(batch)
                if alone:
                    self.wants_alone.add(batch)
                (self.dispatch.alone if alone else self.dispatch.again)(batch)

    @rule(actor=st.integers(0, 2))
    def restart(self, actor: int) -> None:
        if actor in self.starting:
            self.starting.discard(actor)
            self.fresh.add(actor)
            self.dispatch.up(actor)

    @rule()
    def follow(self) -> None:
        while (step := self.dispatch.next()) is not None:
            assert step.actor not in self.starting
            here = [batch for batch, on in self.running.items() if on == step.actor]
            if isinstance(step, Recycle):
                assert not here
                self.starting.add(step.actor)
                self.fresh.discard(step.actor)
                continue
            assert len(here) < 2
            assert not self.wants_alone & set(here)
            if step.batch in self.wants_alone:
                assert not here
                assert step.actor in self.fresh
            self.fresh.discard(step.actor)
            self.running[step.batch] = step.actor

    def _leave(self, batch: int) -> None:
        del self.running[batch]
        self.wants_alone.discard(batch)
        self.dispatch.done(batch)

    @invariant()
    def no_batch_is_lost(self) -> None:
        assert self.submitted == self.finished + len(self.running) + self.dispatch.waiting

    def teardown(self) -> None:
        for _ in range(4 * (self.submitted + 4)):
            for actor in list(self.starting):
                self.restart(actor)
            self.follow()
            for batch in list(self.running):
                self._leave(batch)
                self.finished += 1
        assert self.finished == self.submitted


TestAnyOrder = AnyOrder.TestCase
