"""Verifier latencies, and the warning when answers become unreadable."""

import pytest

from reprise.launch.reporting.metrics import RL_NAMES
from reprise.launch.reporting.verifiers import Latencies, ShareWatch, infra_error_watch, unparseable_watch


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


def warned(watch: ShareWatch, *shares: float) -> list[int]:
    """The steps, from 0, at which there was a warning."""
    return [i for i, share in enumerate(shares) if watch.step({"unparseable/maths": share, "reward/mean": 1.0})]


def test_a_share_above_the_bound_is_warned_of_once_and_again_only_after_it_fell() -> None:
    watch = unparseable_watch(0.2)
    assert warned(watch, 0.1, 0.1, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.9, 0.9) == [2, 11]


def test_one_bad_step_among_good_ones_is_no_rise() -> None:
    assert warned(unparseable_watch(0.2), 0.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0) == []


def test_steps_without_a_share_do_not_count_and_a_bound_of_1_never_warns() -> None:
    watch = unparseable_watch(0.2)
    assert warned(watch, 0.9, float("nan"), float("nan"), float("nan"), 0.9) == []
    assert watch.step({"reward/mean": 0.5}) == []
    assert warned(unparseable_watch(1.0), *[1.0] * 9) == []


def test_the_warning_names_the_domain_its_share_and_what_to_look_at() -> None:
    watch = unparseable_watch(0.2)
    [text] = [w for _ in range(3) for w in watch.step({"unparseable/maths": 0.5, "unparseable/code": 0.1})]
    assert "maths: 50% of the answers of the last 3 steps were unparseable" in text
    assert "rewards.unparseable_warning 0.2" in text


def test_answers_that_cannot_be_verified_are_warned_of_like_unreadable_ones() -> None:
    watch = infra_error_watch(0.05)
    [text] = [w for _ in range(3) for w in watch.step({"infra_error/maths": 0.38, "infra_error/code": 0.01})]
    assert text.startswith("maths: 38% of the answers of the last 3 steps could not be verified (infra_error)")
    assert "rewards.infra_error_warning 0.05" in text


def test_a_run_too_short_for_its_steps_warns_at_its_end_and_no_domain_twice() -> None:
    watch = infra_error_watch(0.05)
    answers = {"maths": {"scored": 0, "infra_error": 400}, "code": {"scored": 99, "infra_error": 1}}
    assert watch.step({"infra_error/maths": 1.0}) == []
    [text] = watch.total(answers)
    assert text.startswith("maths: 100% of the answers of the run could not be verified")
    for _ in range(3):
        watch.step({"infra_error/maths": 1.0})
    assert watch.total(answers) == []
