"""pass@1 and its intervals, against published figures and against simulation."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.launch.reporting.metrics import RL_NAMES
from reprise.launch.reporting.statistics import (
    Estimate,
    EvalRecord,
    Evaluation,
    change,
    changes,
    compared,
    fallen,
    rate,
    student_t,
    wilson,
)


def records(domain: str, tasks: list[list[bool]]) -> list[EvalRecord]:
    return [
        EvalRecord(
            domain=domain, task_id=f"{domain}-{t}", sample=s, passed=passed, parseable=True, truncated=False, tokens=10
        )
        for t, samples in enumerate(tasks)
        for s, passed in enumerate(samples)
    ]


def rated(tasks: list[list[bool]]) -> Estimate:
    return rate([sum(samples) for samples in tasks], [len(samples) for samples in tasks])


def counted(domains: dict[str, np.ndarray], samples: int = 1) -> Evaluation:
    """An evaluation of so many passed samples of each task."""
    rows = [(d, f"{i}", samples, int(n), samples, 0, 0) for d, passed in domains.items() for i, n in enumerate(passed)]
    return Evaluation.from_json({"asked": {}, "by_task": rows})


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
    estimate = rated(singles(passed, of))
    assert estimate.value == pytest.approx(passed / of)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_samples_that_always_agree_count_as_one_a_task():
    agreeing = rated([[passed] * 8 for [passed] in singles(30, 100)])
    assert (agreeing.low, agreeing.high) == pytest.approx((wilson(0.3, 100).low, wilson(0.3, 100).high), rel=0.02)


def test_samples_that_differ_only_within_tasks_count_each():
    estimate = rated([[True, False]] * 100)
    assert estimate == wilson(0.5, 200, student_t(99, 0.975))


def test_several_samples_never_widen_the_interval_beyond_one_a_task():
    rng = np.random.default_rng(0)
    tasks = [list(rng.random(8) < difficulty) for difficulty in rng.random(200)]
    several, one = rated(tasks), wilson(float(np.mean([np.mean(t) for t in tasks])), 200)
    assert several.high - several.low < one.high - one.low


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (9, 2.2622), (30, 2.0423), (200, 1.9719)])
def test_t_quantiles_are_those_of_printed_tables(freedom, quantile):
    assert student_t(freedom, 0.975) == pytest.approx(quantile, abs=6e-5)


@pytest.mark.parametrize(("tasks", "samples"), [(120, 1), (120, 4), (5, 16), (10, 16)])
def test_the_interval_holds_the_true_rate_about_95_times_in_100(tasks, samples):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        difficulties = rng.beta(1.0, 1.5, size=tasks)  # true mean 0.4
        estimate = rated([list(rng.random(samples) < d) for d in difficulties])
        covered += estimate.low <= 0.4 <= estimate.high
    assert 0.925 <= covered / 400 <= 0.98


def test_a_paired_difference_has_bonett_and_prices_interval():
    # Bonett and Price (2012), as R's statpsych prints it: ci.prop.ps(.05, 12, 4, 26, 6) is 0.44, SE 0.09448809.
    before = result([[False]] * 12 + [[True]] * 4 + [[False]] * 26 + [[True]] * 6)
    after = result([[False]] * 12 + [[False]] * 4 + [[True]] * 26 + [[True]] * 6)
    estimate = change(before, after)
    half = 2.009575 * 0.09448809  # t of 49 degrees of freedom in place of z
    assert estimate.value == pytest.approx(22 / 48)
    assert (estimate.low, estimate.high) == pytest.approx((0.44 - half, 0.44 + half), abs=1e-6)


@pytest.mark.parametrize("samples", [1, 16])
@pytest.mark.parametrize("passed", [0.0, 0.5, 1.0])
def test_where_no_task_changed_the_interval_is_wide_if_tasks_are_few(samples, passed):
    def width(tasks):
        same = result([[i < passed * tasks] * samples for i in range(tasks)])
        estimate = change(same, same)
        assert estimate.value == 0
        return estimate.high - estimate.low

    # All that four tasks without a change say of the share that changes: below 0.6, with 95% confidence (0.4 ** 4).
    assert 0.6 < width(4) / 2 < 0.7
    assert width(4) > width(20) > width(300) > 0.01


def test_samples_of_a_task_that_differ_say_more_than_one():
    one, several = ([[i % 2 < half] * n for i in range(10)] for n, half in ((1, 1), (1, 1)))
    independent = result([[True, False] * 8] * 10)
    assert change(independent, independent).high < change(result(one), result(several)).high / 2


def moved(rng, tasks: int, kind: str):
    """Difficulties of tasks before and after, and the mean of what they move by."""
    first = rng.beta(0.4, 0.6, size=tasks)
    if kind == "all move":
        return first, first + 0.2 * (1 - first), 0.2 * 0.6
    if kind == "one in ten flips":  # with all of its samples
        first = rng.integers(2, size=tasks).astype(float)
        return first, np.where(rng.random(tasks) < 0.1, 0.0, first), -0.1 * 0.5
    return first, first, 0.0


@pytest.mark.parametrize(("tasks", "samples"), [(5, 1), (5, 16), (20, 4), (60, 16), (300, 1)])
@pytest.mark.parametrize("kind", ["all move", "one in ten flips", "noise"])
def test_the_interval_of_a_change_holds_the_truth_at_least_about_95_times_in_100(tasks, samples, kind):
    rng, covered = np.random.default_rng(3), 0
    for _ in range(200):
        *difficulties, truth = moved(rng, tasks, kind)
        before, after = (counted({"d": rng.binomial(samples, p)}, samples).domains["d"] for p in difficulties)
        estimate = change(before, after)
        covered += estimate.low <= truth <= estimate.high
    assert covered / 200 >= 0.92


def test_one_lost_verdict_leaves_the_comparison_paired():
    rng = np.random.default_rng(4)
    difficulties = rng.beta(0.5, 0.5, size=100)
    before = [list(rng.random(4) < d) for d in difficulties]
    after = [list(rng.random(4) < min(1, d + 0.1)) for d in difficulties]
    whole, lost = (change(result(before), result(kept)) for kept in (after, after[:-1]))
    assert lost.high - lost.low == pytest.approx(whole.high - whole.low, rel=0.05)


def test_of_many_domains_hardly_one_has_fallen_by_chance():
    rng, named, alone = np.random.default_rng(5), 0, 0
    for _ in range(200):
        one, other = (counted({f"d{d}": rng.random(40) < 0.5 for d in range(10)}) for _ in range(2))
        named += bool(fallen(one, other))
        alone += any(c.high < 0 for c in changes(one, other).values())
    assert named <= 10 < alone  # at most 5% of 200


def test_a_domain_that_really_fell_is_named_among_many():
    before = Evaluation.of(r for d in range(10) for r in records(f"d{d}", singles(30, 40)))
    after = Evaluation.of(r for d in range(10) for r in records(f"d{d}", singles(10 if d == 3 else 30, 40)))
    assert fallen(before, after) == ["d3", "all"]


def test_an_unpaired_difference_has_newcombes_interval():
    # Newcombe (1998), "Interval estimation for the difference between independent proportions: comparison of eleven
    # methods", method 10: 56/70 − 48/80.
    elsewhere = Evaluation.of(records("other", singles(56, 70))).domains["other"]
    estimate = change(result(singles(48, 80)), elsewhere)
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


def test_before_and_after_are_compared_over_the_tasks_that_were_verified_in_both():
    rows = records("maths", singles(5, 10))
    # The policy has not changed, but right answers could not be verified before, and wrong ones after.
    before, after = Evaluation.of(rows[2:], {"maths": 10}), Evaluation.of(rows[:7], {"maths": 10})
    assert before.pass_at_1["maths"] < after.pass_at_1["maths"]
    before, after = compared(before, after)
    assert (before.pass_at_1, before.domains["all"].tasks, before.domains["all"].asked) == (after.pass_at_1, 5, 10)
    assert changes(before, after)["maths"].value == 0


def test_a_domain_verified_on_one_side_only_is_compared_with_nothing():
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
