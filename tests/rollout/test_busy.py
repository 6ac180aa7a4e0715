"""Busy time of an engine, from the ends of its steps."""

from __future__ import annotations

from reprise.rollout.busy import BusyClock


def test_steps_that_follow_each_other_are_one_interval() -> None:
    clock = BusyClock()
    for now, running in ((1.0, 4), (1.5, 4), (2.0, 2), (2.25, 0)):
        clock.step(now, running, tokens=running)
    assert clock.drain(9.0) == (((1.0, 2.25),), 10)


def test_a_pause_ends_the_interval_and_the_next_step_begins_another() -> None:
    clock = BusyClock()
    clock.step(1.0, 4, 4)
    clock.idle(2.0)
    clock.step(5.0, 4, 4)
    clock.step(6.0, 0, 4)
    assert clock.drain(9.0)[0] == ((1.0, 2.0), (5.0, 6.0))


def test_an_interval_that_is_still_open_is_cut_and_goes_on() -> None:
    clock = BusyClock()
    clock.step(1.0, 4, 4)
    assert clock.drain(3.0) == (((1.0, 3.0),), 4)
    clock.step(4.0, 0, 4)
    assert clock.drain(9.0) == (((3.0, 4.0),), 4)


def test_a_lone_step_of_one_token_has_no_length() -> None:
    clock = BusyClock()
    clock.step(1.0, 0, 8)
    assert clock.drain(2.0) == ((), 8)
