"""pass@1 and its intervals, against published figures and against simulation."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.metrics import RL_NAMES
from launch.statistics import EvalRecord, Evaluation, change, changes, compared, rate, wilson


def records(domain: str, tasks: list[list[bool]]) -> list[EvalRecord]:
    return [
        EvalRecord(
            domain=domain, task_id=f"{domain}-{t}", sample=s, passed=passed, parseable=True, truncated=False, tokens=10
        )
        for t, samples in enumerate(tasks)
        for s, passed in enumerate(samples)
    ]


def singles(passed: int, of: int) -> list[list[bool]]:
    return [[i < passed] for i in range(of)]


def result(tasks: list[list[bool]]):
    return Evaluation.of(records("maths", tasks)).domains["maths"]


# Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3 (score).
@pytest.mark.parametrize(
    ("passed", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_single_samples_get_wilsons_interval(passed, of, low, high):
    estimate = rate(singles(passed, of))
    assert estimate.value == pytest.approx(passed / of)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_samples_that_always_agree_count_as_one_a_task():
    agreeing = rate([[passed] * 8 for [passed] in singles(30, 100)])
    assert (agreeing.low, agreeing.high) == pytest.approx((wilson(0.3, 100).low, wilson(0.3, 100).high), rel=0.02)


def test_samples_that_differ_only_within_tasks_count_each():
    estimate = rate([[True, False]] * 100)
    assert estimate == wilson(0.5, 200)


def test_several_samples_never_widen_the_interval_beyond_one_a_task():
    rng = np.random.default_rng(0)
    tasks = [list(rng.random(8) < difficulty) for difficulty in rng.random(200)]
    several, one = rate(tasks), wilson(float(np.mean([np.mean(t) for t in tasks])), 200)
    assert several.high - several.low < one.high - one.low


@pytest.mark.parametrize("samples", [1, 4])
def test_the_interval_holds_the_true_rate_about_95_times_in_100(samples):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        difficulties = rng.beta(1.0, 1.5, size=120)  # true mean 0.4
        estimate = rate([list(rng.random(samples) < d) for d in difficulties])
        covered += estimate.low <= 0.4 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_paired_difference_has_newcombes_interval():
    # Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions based on paired
    # data", method 10: 36 pass both times, 12 only after, 2 only before, 0 never.
    before = result([[True]] * 36 + [[False]] * 12 + [[True]] * 2)
    after = result([[True]] * 48 + [[False]] * 2)
    estimate = change(before, after)
    assert estimate.value == pytest.approx(0.20)
    assert (estimate.low, estimate.high) == pytest.approx((0.0569, 0.3404), abs=2e-4)


def test_an_unpaired_difference_has_newcombes_interval():
    # Newcombe (1998), "Interval estimation for the difference between independent proportions: comparison of eleven
    # methods", method 10: 56/70 − 48/80.
    estimate = change(result(singles(48, 80)), result(singles(56, 70)))
    assert estimate.value == pytest.approx(0.20)
    assert (estimate.low, estimate.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_same_tasks_narrow_the_interval_of_the_difference():
    rng = np.random.default_rng(2)
    difficulties = rng.beta(0.5, 0.5, size=300)
    before = result([list(rng.random(4) < d) for d in difficulties])
    after = result([list(rng.random(4) < min(1, d + 0.1)) for d in difficulties])
    elsewhere = records("other", [list(rng.random(4) < min(1, d + 0.1)) for d in difficulties])
    paired, unpaired = change(before, after), change(before, Evaluation.of(elsewhere).domains["other"])
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


def test_an_unparseable_answer_has_not_passed_and_lowers_the_parseable_share():
    unread = EvalRecord("maths", "odd", 0, passed=False, parseable=False, truncated=True, tokens=50)
    maths = Evaluation.of([*records("maths", singles(3, 3)), unread]).domains["maths"]
    assert maths.pass_at_1.value == pytest.approx(0.75)
    assert maths.parseable == pytest.approx(0.75)
    assert maths.truncated == pytest.approx(0.25)
    assert maths.tokens_mean == pytest.approx(20.0)


def test_all_is_over_every_task_and_keeps_tasks_of_different_domains_apart():
    same_id = [EvalRecord(domain, "7", 0, domain == "a", True, False, 1) for domain in ("a", "b")]
    everything = Evaluation.of(same_id).domains["all"]
    assert (everything.tasks, everything.samples, everything.pass_at_1.value) == (2, 2, 0.5)


def test_before_and_after_are_compared_over_the_tasks_that_were_judged_in_both():
    before, after = records("maths", singles(5, 10)), records("maths", singles(5, 10))
    # The policy has not changed, but right answers could not be judged before, and wrong ones after.
    before, after = Evaluation.of(before[2:], {"maths": 10}), Evaluation.of(after[:7], {"maths": 10})
    assert before.pass_at_1["maths"] < after.pass_at_1["maths"]
    before, after = compared(before, after)
    assert (before.pass_at_1, before.domains["all"].tasks, before.domains["all"].asked) == (after.pass_at_1, 5, 10)
    assert changes(before, after)["maths"].value == 0


def test_a_domain_judged_on_one_side_only_is_compared_with_nothing():
    before = Evaluation.of([*records("maths", singles(1, 2)), *records("code", singles(1, 2))])
    before, after = compared(before, Evaluation.of(records("maths", singles(2, 2))))
    assert set(before.domains) == set(after.domains) == {"maths", "all"}


def test_an_evaluation_survives_a_checkpoint():
    evaluation = Evaluation.of(records("maths", [[True, False], [True]]), {"maths": 3, "code": 2})
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    assert evaluation.domains["all"].asked == 5


def test_metrics_of_an_evaluation_have_known_names():
    metrics = Evaluation.of(records("maths", singles(1, 2))).metrics()
    RL_NAMES.check(metrics)
    assert metrics["eval/pass_at_1/maths"] == metrics["eval/pass_at_1/all"] == 0.5


def test_no_records_and_a_domain_called_all_are_refused():
    with pytest.raises(ValueError, match="at least one record"):
        Evaluation.of([])
    with pytest.raises(ValueError, match="'all'"):
        Evaluation.of(records("all", singles(1, 2)))


outcomes = st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=12)


@given(outcomes, outcomes)
def test_intervals_hold_their_value_and_stay_in_range(first, second):
    before, after = Evaluation.of(records("maths", first)), Evaluation.of(records("maths", second))
    for estimate in (before.domains["maths"].pass_at_1, after.domains["maths"].pass_at_1):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    for difference in changes(before, after).values():
        assert -1 <= difference.low <= difference.value <= difference.high <= 1
