"""Verifier latencies, and the warning when answers become unreadable."""

import pytest

from launch.judging import Latencies, UnparseableWatch
from launch.metrics import RL_NAMES


def test_latencies_are_by_verifier_since_the_last_step_and_over_the_run() -> None:
    latencies = Latencies()
    for seconds in range(1, 101):
        latencies.add("math", seconds, queue_seconds=0.5)
    latencies.add("code", 3.0, queue_seconds=0.0)
    first = latencies.metrics()
    assert first["verify/seconds_p50/math"] == pytest.approx(50.5)
    assert first["verify/seconds_p95/math"] == pytest.approx(95.05)
    assert first["verify/queue_seconds/math"] == pytest.approx(0.5)
    assert first["verify/seconds_p50/code"] == 3.0
    assert all(name in RL_NAMES for name in first)
    latencies.add("code", 5.0, queue_seconds=1.0)
    second = latencies.metrics()
    assert set(second) == {f"verify/{what}/code" for what in ("seconds_p50", "seconds_p95", "queue_seconds")}
    assert second["verify/seconds_p50/code"] == 5.0
    totals = latencies.totals()
    assert (totals["math"].groups, totals["code"].groups, totals["code"].p50) == (100, 2, 4.0)


def warned(watch: UnparseableWatch, *shares: float) -> list[int]:
    """The steps, from 0, at which there was a warning."""
    return [i for i, share in enumerate(shares) if watch.step({"unparseable/maths": share, "reward/mean": 1.0})]


def test_a_share_above_the_bound_is_warned_of_once_and_again_only_after_it_fell() -> None:
    watch = UnparseableWatch(0.2)
    assert warned(watch, 0.1, 0.1, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.9, 0.9) == [2, 11]


def test_one_bad_step_among_good_ones_is_no_rise() -> None:
    assert warned(UnparseableWatch(0.2), 0.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0) == []


def test_steps_without_a_share_do_not_count_and_a_bound_of_1_never_warns() -> None:
    watch = UnparseableWatch(0.2)
    assert warned(watch, 0.9, float("nan"), float("nan"), float("nan"), 0.9) == []
    assert watch.step({"reward/mean": 0.5}) == []
    assert warned(UnparseableWatch(1.0), *[1.0] * 9) == []


def test_the_warning_names_the_domain_its_share_and_what_to_look_at() -> None:
    watch = UnparseableWatch(0.2)
    [text] = [w for _ in range(3) for w in watch.step({"unparseable/maths": 0.5, "unparseable/code": 0.1})]
    assert "maths: 50% of the answers of the last 3 steps were unparseable" in text
    assert "rewards.unparseable_warning 0.2" in text
