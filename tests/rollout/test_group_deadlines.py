"""A group's time counts from its first token and without pauses, and every wait ends."""

from __future__ import annotations

from reprise.rollout.group_deadlines import GroupDeadlines


def test_a_group_has_its_time_from_the_first_token() -> None:
    deadlines = GroupDeadlines(10)
    deadlines.submit("a", 0)
    deadlines.begin("a", 9)
    assert not deadlines.overdue("a", 18)
    assert deadlines.overdue("a", 19) == "did not finish within 10 s of its first token"


def test_a_group_that_queues_has_time_as_long_as_others_begin_or_end() -> None:
    deadlines = GroupDeadlines(10)
    for group in ("a", "b", "c"):
        deadlines.submit(group, 0)
    deadlines.begin("a", 1)
    assert not deadlines.overdue("c", 10)
    deadlines.end("a", 9)
    deadlines.begin("b", 10)
    assert not deadlines.overdue("c", 19)
    assert deadlines.overdue("c", 20) == "did not begin, and the engine began and ended no other group for 10 s"


def test_an_engine_that_stands_still_is_noticed_by_the_first_group() -> None:
    deadlines = GroupDeadlines(10)
    deadlines.submit("a", 5)
    assert not deadlines.overdue("a", 14)
    assert deadlines.overdue("a", 15)


def test_a_later_look_does_not_begin_a_group_again() -> None:
    deadlines = GroupDeadlines(10)
    deadlines.submit("a", 0)
    deadlines.begin("a", 1)
    deadlines.begin("a", 8)
    assert deadlines.overdue("a", 11)


def test_pauses_count_for_nobody() -> None:
    deadlines = GroupDeadlines(10)
    deadlines.submit("running", 0)
    deadlines.begin("running", 0)
    deadlines.submit("waiting", 0)
    deadlines.pause(4)
    deadlines.pause(5)  # said twice, as a repeated publication might
    assert not deadlines.overdue("running", 1000)
    deadlines.submit("submitted in the pause", 500)
    deadlines.resume(1000)
    assert not any(map(bool, (deadlines.overdue(g, 1005) for g in ("running", "waiting", "submitted in the pause"))))
    assert deadlines.overdue("running", 1006)
    assert deadlines.overdue("waiting", 1006)
    assert not deadlines.overdue("submitted in the pause", 1009)
