"""The arithmetic of busy time, against a count of single seconds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.launch.reporting.timeline import Timeline, intersection, length, overlap, union

# Whole seconds in a short day, so that a set of seconds is an exact reference.
DAY = 24
spans = st.tuples(st.integers(0, DAY), st.integers(0, DAY)).map(lambda ends: (float(min(ends)), float(max(ends))))
schedules = st.lists(spans, max_size=8)


def seconds(intervals) -> set[int]:
    return {second for start, end in intervals for second in range(int(start), int(end))}


@given(schedules)
def test_a_union_is_sorted_disjoint_and_covers_the_same_seconds(intervals):
    joined = union(intervals)
    assert seconds(joined) == seconds(intervals)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    assert length(intervals) == len(seconds(intervals))


@given(schedules, schedules)
def test_an_intersection_covers_the_seconds_of_both(a, b):
    assert seconds(intersection(a, b)) == seconds(a) & seconds(b)


@given(schedules, schedules)
def test_overlap_is_the_share_of_busy_seconds_in_which_the_other_ran(busy, other):
    share = overlap(busy, other)
    expected = len(seconds(busy) & seconds(other)) / len(seconds(busy)) if seconds(busy) else 0.0
    assert share == pytest.approx(expected)
    assert 0.0 <= share <= 1.0


@given(schedules, st.randoms())
def test_a_timeline_does_not_depend_on_the_order_of_what_is_added(intervals, random):
    in_order, shuffled = Timeline(), Timeline()
    in_order.extend("generate", "engine-0", intervals)
    random.shuffle(intervals)
    shuffled.extend("generate", "engine-0", intervals)
    assert in_order.intervals("generate") == shuffled.intervals("generate") == union(intervals)


@given(schedules, schedules, spans)
def test_idle_shares_of_a_window_count_only_that_window(first, second, window):
    timeline = Timeline()
    timeline.extend("generate", "engine-0", first)
    timeline.extend("generate", "engine-1", second)
    within = seconds([window])
    idle = timeline.idle_share("generate", ["engine-0", "engine-1"], *window)
    if within:
        busy = len(seconds(first) & within) + len(seconds(second) & within)
        assert idle == pytest.approx(1 - busy / (2 * len(within)))
    else:
        assert idle == 0.0


@given(schedules, schedules, schedules, spans)
def test_overlap_of_phases_joins_their_actors(learn, engine_0, engine_1, window):
    timeline = Timeline()
    timeline.extend("learn", "learner-0", learn)
    timeline.extend("generate", "engine-0", engine_0)
    timeline.extend("generate", "engine-1", engine_1)
    busy = seconds(learn) & seconds([window])
    expected = len(busy & (seconds(engine_0) | seconds(engine_1))) / len(busy) if busy else 0.0
    assert timeline.overlap("learn", "generate", *window) == pytest.approx(expected)


def test_work_without_a_pause_is_kept_as_one_interval():
    timeline = Timeline()
    timeline.extend("generate", "engine-0", [(i / 10, (i + 1) / 10) for i in range(1000)])
    assert timeline.intervals("generate") == [(0.0, 100.0)]


def test_an_actor_that_never_worked_is_idle():
    timeline = Timeline()
    timeline.add("generate", "engine-0", 0.0, 10.0)
    assert timeline.idle_share("generate", ["engine-0", "engine-1"], 0.0, 10.0) == 0.5


@pytest.mark.parametrize("interval", [(2.0, 1.0), (0.0, float("nan"))])
def test_time_that_runs_backwards_is_refused(interval):
    with pytest.raises(ValueError, match="must end after it starts"):
        Timeline().add("learn", "learner-0", *interval)
