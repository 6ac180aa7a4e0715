from __future__ import annotations

import itertools
import json

import pytest

from reprise.core.errors import UserError
from reprise.rollout.admission import Admission


def admission(staleness: int = 1, fresh: int = 2, concurrent: int = 100, next_take: int = 0) -> Admission:
    return Admission(staleness, fresh, concurrent, next_take)


def start(made: Admission, version: int, *ids: str) -> None:
    for group_id in ids:
        made.start(group_id, version)


def store(made: Admission, *ids: str) -> None:
    for group_id in ids:
        made.stored(group_id)


def test_synchronous_runs_start_one_batch_and_then_wait_for_the_next_version() -> None:
    made = admission(staleness=0)
    start(made, 0, "a", "b")
    assert not made.may_start(0)
    store(made, "a")
    assert not made.may_take(0)
    store(made, "b")
    assert made.may_take(0)
    assert made.take(0) == ["a", "b"]
    assert not made.may_start(0), "version 1 is being trained: what starts at 0 would be stale"
    assert made.may_start(1)


@pytest.mark.parametrize("staleness", [0, 1, 2, 5])
def test_as_many_groups_start_as_the_batches_within_the_bound_can_take(staleness: int) -> None:
    made = admission(staleness)
    while made.may_start(0):
        made.start(f"g{made.in_flight}", 0)
    assert made.in_flight == 2 * (staleness + 1)


def test_while_a_batch_is_trained_the_next_ones_are_sampled() -> None:
    made = admission(staleness=1)
    start(made, 0, "a", "b")
    store(made, "a", "b")
    assert made.take(0) == ["a", "b"]
    start(made, 0, "c", "d")
    assert not made.may_start(0)
    assert made.may_start(1)


def test_no_more_groups_are_in_flight_than_max_concurrent_groups() -> None:
    made = admission(staleness=5, concurrent=3)
    start(made, 0, "a", "b", "c")
    assert not made.may_start(0)
    store(made, "b")
    assert made.may_start(0)


def test_the_learner_waits_for_a_straggler_that_is_due_now() -> None:
    """The case k = 0: it would be too old for any later batch."""
    made = admission(staleness=1)
    start(made, 0, "straggler", "a", "b")
    store(made, "a", "b")
    assert made.take(0) == ["a", "b"]
    start(made, 1, "c", "d")
    store(made, "c", "d")
    assert not made.may_take(1)
    assert made.stragglers() == ["straggler"]
    store(made, "straggler")
    assert made.may_take(1)
    assert made.take(1) == ["straggler", "c"]


def test_the_learner_waits_if_later_batches_could_not_take_all_that_is_due() -> None:
    """The case k = 1: three would be due at the next version, where two fit."""
    made = admission(staleness=1)
    start(made, 0, "a", "b")
    store(made, "a", "b")
    assert made.take(0) == ["a", "b"]
    start(made, 0, "c")
    start(made, 1, "d", "e", "f")
    store(made, "d", "e")
    assert not made.may_take(1)
    store(made, "f")
    assert not made.may_take(1)
    store(made, "c")
    assert made.may_take(1)


def test_a_straggler_that_is_not_due_yet_is_not_waited_for() -> None:
    made = admission(staleness=1)
    start(made, 0, "straggler", "a", "b")
    store(made, "a", "b")
    assert made.may_take(0)


def test_a_closed_group_frees_its_place() -> None:
    made = admission(staleness=0)
    start(made, 0, "a", "b")
    made.closed("a")
    assert made.may_start(0)
    start(made, 0, "c")
    store(made, "b", "c")
    assert made.take(0) == ["b", "c"]


def test_an_engine_that_lags_behind_may_still_serve_within_the_bound() -> None:
    made = admission(staleness=1, next_take=5)
    assert made.may_start(4)
    assert not made.may_start(3)


def test_a_group_on_a_lagging_engine_may_not_push_out_one_that_is_due_later() -> None:
    made = admission(staleness=1, next_take=1)
    start(made, 1, "a", "b", "c", "d")
    assert not made.may_start(0), "version 2 could not take all four any more"


def test_an_engine_cannot_serve_a_version_that_the_learner_has_not_reached() -> None:
    with pytest.raises(ValueError, match="serves version 1, but the learner has only reached 0"):
        admission().may_start(1)


def test_a_batch_is_due_at_exactly_the_next_version() -> None:
    made = admission(next_take=3)
    for version in (2, 4):
        with pytest.raises(ValueError, match=f"due at version 3, not {version}"):
            made.may_take(version)


def test_a_batch_waits_for_enough_fresh_groups() -> None:
    made = admission()
    start(made, 0, "a", "b")
    store(made, "a")
    assert (made.in_flight, made.ready) == (1, 1)
    assert not made.may_take(0)
    store(made, "b")
    assert made.take(0) == ["a", "b"]
    assert (made.in_flight, made.ready) == (0, 0)


def test_the_earliest_latest_versions_leave_first() -> None:
    made = admission(staleness=2, fresh=1)
    start(made, 0, "a", "b")
    store(made, "a")
    assert made.take(0) == ["a"]
    start(made, 1, "c")
    store(made, "c", "b")
    assert made.take(1) == ["b"]
    assert made.take(2) == ["c"]


@pytest.mark.parametrize("arrival", list(itertools.permutations(["late", "first", "mid", "second"])))
def test_groups_leave_earliest_start_version_first_then_in_order_of_start_whoever_arrived_first(
    arrival: tuple[str, ...],
) -> None:
    """Engines swap weights late and apart, so that a group of an earlier version may start after one of a later."""
    made = admission(staleness=2, fresh=3, next_take=2)
    for group_id, version in [("late", 2), ("first", 0), ("mid", 1), ("second", 0)]:
        start(made, version, group_id)
    store(made, *arrival)
    assert made.take(2) == ["first", "second", "mid"]
    start(made, 3, "third", "fourth")
    store(made, "fourth", "third")
    assert made.take(3) == ["late", "third", "fourth"]


def test_a_group_in_flight_is_in_no_batch_however_early_it_started() -> None:
    made = admission(staleness=1)
    start(made, 0, "straggler", "a", "b")
    store(made, "b", "a")
    assert made.take(0) == ["a", "b"]
    assert made.stragglers() == ["straggler"]


def test_misuse_is_an_error() -> None:
    made = admission(staleness=0, fresh=1)
    start(made, 0, "a")
    with pytest.raises(ValueError, match="'a' is open already"):
        made.start("a", 0)
    with pytest.raises(ValueError, match="'b' may not start at version 0"):
        made.start("b", 0)
    with pytest.raises(ValueError, match="no batch may be taken at version 0"):
        made.take(0)


def test_a_state_round_trips_and_what_was_in_flight_is_closed() -> None:
    made = admission(staleness=2)
    start(made, 0, "a", "b", "c", "d")
    store(made, "a", "b", "c")
    assert made.take(0) == ["a", "b"]
    state = json.loads(json.dumps(made.state()))
    again = admission(staleness=2, next_take=1)
    assert again.restore(state) == ["d"]
    assert (again.in_flight, again.ready, again.next_take) == (0, 1, 1)
    start(again, 1, "e")
    store(again, "e")
    assert again.take(1) == ["c", "e"]
    assert again.state() == admission(next_take=2).state()


def test_the_order_of_start_outlasts_a_restoration() -> None:
    made = admission(staleness=2)
    start(made, 0, *"abcdef")
    store(made, *"febcda")
    assert made.take(0) == ["a", "b"]
    again = admission(staleness=2, next_take=1)
    again.restore(json.loads(json.dumps(made.state())))
    start(again, 1, "g")
    store(again, "g")
    assert [again.take(version) for version in (1, 2)] == [["c", "d"], ["e", "f"]]


def test_the_version_counter_cannot_part_from_the_learner_s() -> None:
    state = admission(next_take=5).state()
    for version in (4, 6):
        with pytest.raises(ValueError, match=f"batch of version 5, but the learner is at version {version}"):
            admission(next_take=version).restore(state)


def test_a_checkpoint_that_a_smaller_bound_cannot_meet_is_refused() -> None:
    made = admission(staleness=3)
    start(made, 0, *"abcdefgh")
    store(made, *"abcdefgh")
    assert made.take(0) == ["a", "b"]
    with pytest.raises(UserError, match=r"6 finished groups .*max_staleness 2 at 2 fresh"):
        admission(staleness=2, next_take=1).restore(made.state())
    admission(staleness=4, next_take=1).restore(made.state())
