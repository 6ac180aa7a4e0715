"""When an actor is well, when it is dead, and how long it is waited for."""

from __future__ import annotations

import pytest

from reprise.rewards.pool.health import Health, Patience, State

PATIENCE = Patience(starts=3, misses=2, back_off_s=1.0, max_back_off_s=5.0)


def healthy() -> Health:
    health = Health(PATIENCE)
    health.started()
    return health


def test_a_missed_check_makes_it_suspect_and_an_answer_well_again() -> None:
    health = healthy()
    health.missed()
    assert health.state is State.SUSPECT
    health.answered()
    assert health.state is State.HEALTHY
    health.missed()
    assert health.state is State.SUSPECT  # the answer in between ended the row


def test_two_missed_checks_in_a_row_are_death_and_an_answer_comes_too_late() -> None:
    health = healthy()
    health.missed()
    health.missed()
    health.answered()
    assert health.state is State.DEAD


def test_nothing_but_a_start_leads_back_from_death() -> None:
    health = healthy()
    health.died(by_itself=True)
    with pytest.raises(ValueError, match="dead"):
        health.started()
    health.restarting()
    health.started()
    assert health.state is State.HEALTHY


def test_it_is_given_up_after_the_third_failed_start_in_a_row_with_longer_and_longer_waits() -> None:
    health = Health(PATIENCE)
    waits = []
    while True:
        health.start_failed()
        if health.given_up:
            break
        waits.append(health.back_off_s)
        health.restarting()
    assert waits == [1.0, 2.0]


def test_a_start_that_succeeds_ends_the_row() -> None:
    health = Health(PATIENCE)
    for _ in range(5):
        health.start_failed()
        health.restarting()
        health.started()
        health.died(by_itself=False)
        health.restarting()
    assert not health.given_up


def test_one_that_dies_over_and_over_without_verdicts_is_restarted_less_and_less_often_but_never_given_up() -> None:
    health = healthy()
    waits = []
    for _ in range(6):
        health.died(by_itself=True)
        waits.append(health.back_off_s)
        health.restarting()
        health.started()
    assert waits == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert not health.given_up
    health.verified()
    health.died(by_itself=True)
    assert health.back_off_s == 0.0


def test_one_that_the_pool_killed_is_started_again_at_once() -> None:
    health = healthy()
    for _ in range(6):
        health.died(by_itself=False)
        assert health.back_off_s == 0.0
        health.restarting()
        health.started()
