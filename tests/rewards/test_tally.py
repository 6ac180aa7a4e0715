"""What a step says of the answers of each domain."""

import math

from reprise.core.types import Verdict
from reprise.rewards.scoring import apply_policy
from reprise.rewards.tally import Tally

NONE = Verdict.unparseable("no_answer")


def test_rewards_and_shares_are_by_domain_and_the_mean_is_over_what_was_scored() -> None:
    tally = Tally()
    tally.add("maths", [Verdict.scored(1, "correct"), Verdict.scored(0, "wrong"), NONE, NONE])
    tally.add("code", [Verdict.scored(1, "correct"), Verdict.infra_error("infra")])
    metrics = tally.metrics()
    assert metrics == {
        "reward/mean": 2 / 3,
        "reward/code": 1.0,
        "unparseable/code": 0.0,
        "infra_error/code": 0.5,
        "reward/maths": 0.5,
        "unparseable/maths": 0.5,
        "infra_error/maths": 0.0,
        "verify/reason/correct": 2,
        "verify/reason/infra": 1,
        "verify/reason/no_answer": 2,
        "verify/reason/wrong": 1,
    }


def test_an_unparseable_answer_that_scores_0_is_still_counted_as_unparseable() -> None:
    tally = Tally()
    tally.add("maths", [apply_policy(NONE, "score_zero", truncated=False), Verdict.scored(1, "correct")])
    metrics = tally.metrics()
    assert (metrics["reward/maths"], metrics["unparseable/maths"]) == (0.5, 0.5)
    assert tally.totals() == {"maths": {"scored": 1, "unparseable": 1, "infra_error": 0}}


def test_metrics_are_of_the_time_since_the_last_ones_and_totals_of_all() -> None:
    tally = Tally()
    tally.add("maths", [Verdict.scored(1)])
    tally.metrics()
    assert list(tally.metrics()) == ["reward/mean"]
    assert math.isnan(tally.metrics()["reward/mean"])
    tally.add("maths", [NONE])
    assert tally.metrics()["unparseable/maths"] == 1.0
    assert tally.totals()["maths"] == {"scored": 1, "unparseable": 1, "infra_error": 0}


def test_what_a_foreign_verifier_says_for_a_reason_makes_no_names_of_metrics() -> None:
    tally = Tally()
    tally.add("maths", [Verdict.scored(0, "because/of <this>\n"), Verdict.scored(0), Verdict.scored(0, "x" * 999)])
    assert tally.metrics()["verify/reason/other"] == 3
