"""Routing, retries and what a failing verifier means."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from plugin_verifiers import Scripted

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.scoring import Scorer

RIGHT, WRONG = Verdict.scored(1.0, "correct"), Verdict.scored(0.0, "wrong")
INFRA = Verdict.infra_error("infra", "the machine")


def answer(text: str, verifier: str = "a", truncated: bool = False) -> Answer:
    return Answer(Task("t", "?", "d", verifier, "5"), text, truncated)


def verify(script: Sequence[Sequence[Verdict] | Exception], answers: list[Answer], retries: int = 0):
    verifier = Scripted(script)
    return Scorer({"a": verifier}, retries).verify(answers), verifier


def test_each_answer_goes_to_the_verifier_of_its_task_and_verdicts_keep_their_order() -> None:
    a, b = Scripted([[RIGHT, WRONG]]), Scripted([[WRONG, RIGHT]])
    answers = [answer("1"), answer("2", "b"), answer("3"), answer("4", "b")]
    verification = Scorer({"a": a, "b": b}, retries=0).verify(answers)
    assert (a.asked, b.asked) == ([["1", "3"]], [["2", "4"]])
    assert verification.verdicts == [RIGHT, WRONG, WRONG, RIGHT]


def test_only_infra_errors_are_verified_again_and_each_retry_is_counted() -> None:
    verification, verifier = verify(
        [[RIGHT, INFRA, INFRA], [WRONG, INFRA], [RIGHT]], [answer(t) for t in "xyz"], retries=2
    )
    assert verifier.asked == [["x", "y", "z"], ["y", "z"], ["z"]]
    assert verification.verdicts == [RIGHT, WRONG, RIGHT]
    assert verification.counts == Counter({"scored": 3, "retried": 3, "reason/correct": 2, "reason/wrong": 1})


def test_the_last_retry_is_one_by_one_so_that_one_answer_cannot_mask_the_others() -> None:
    broken = ValueError("the answer 'y' is too much for me")
    verification, verifier = verify([broken, [RIGHT], broken, [WRONG]], [answer(t) for t in "xyz"], retries=1)
    assert verifier.asked == [["x", "y", "z"], ["x"], ["y"], ["z"]]
    assert [verdict.status for verdict in verification.verdicts] == [Status.SCORED, Status.INFRA_ERROR, Status.SCORED]


def test_an_infra_error_that_stays_is_never_turned_into_a_zero() -> None:
    verification, verifier = verify([[INFRA]] * 3, [answer("x")], retries=2)
    assert verification.verdicts == [INFRA]
    assert len(verifier.asked) == 3
    assert verification.counts == Counter({"infra_error": 1, "retried": 2, "reason/infra": 1})


def test_an_exception_of_a_verifier_is_an_infra_error_with_its_reason() -> None:
    verification, _ = verify([OSError("disk full")], [answer("x"), answer("y")])
    assert [verdict.status for verdict in verification.verdicts] == [Status.INFRA_ERROR] * 2
    assert verification.verdicts[0].detail == {
        "reason": "infra",
        "explanation": "verifier 'a' raised OSError: disk full (plugin_verifiers.py:48)",
    }


def test_a_verifier_that_recovers_from_an_exception_is_heard() -> None:
    verification, _ = verify([OSError("disk full"), [RIGHT]], [answer("x")], retries=1)
    assert verification.verdicts == [RIGHT]


@pytest.mark.parametrize("verdicts", [[], [RIGHT], [RIGHT] * 3, [RIGHT, 1.0]])
def test_verdicts_that_cannot_be_these_answers_are_infra_errors(verdicts: list[Verdict]) -> None:
    verification, _ = verify([verdicts], [answer("x"), answer("y")])
    assert [verdict.status for verdict in verification.verdicts] == [Status.INFRA_ERROR] * 2


def test_one_failing_verifier_leaves_the_others_alone() -> None:
    verifiers = {"a": Scripted([RuntimeError("broken")]), "b": Scripted([[RIGHT]])}
    verification = Scorer(verifiers, retries=0).verify([answer("1"), answer("2", "b")])
    assert [verdict.status for verdict in verification.verdicts] == [Status.INFRA_ERROR, Status.SCORED]


def test_a_truncated_response_without_text_is_unparseable_and_shown_to_no_verifier() -> None:
    verification, verifier = verify([[RIGHT, WRONG]], [answer("x"), answer(" \n", truncated=True), answer("")])
    assert verifier.asked == [["x", ""]]
    assert [verdict.status for verdict in verification.verdicts] == ["scored", "unparseable", "scored"]
    assert verification.counts["reason/no_answer"] == 1


UNPARSEABLE = Verdict.unparseable("unreadable", "no number", position=3)


def test_an_unparseable_answer_is_masked_unless_the_recipe_says_otherwise() -> None:
    verification, _ = verify([[RIGHT, UNPARSEABLE]], [answer("x"), answer("y")])
    assert verification.verdicts == [RIGHT, UNPARSEABLE]
    assert [verdict.was_unparseable for verdict in verification.verdicts] == [False, True]


def test_with_score_zero_an_unparseable_answer_scores_0_keeps_its_reason_and_can_still_be_counted() -> None:
    verifiers = {"a": Scripted([[RIGHT, UNPARSEABLE, WRONG]])}
    answers = [answer(text) for text in "xyz"] + [answer("", truncated=True)]
    verification = Scorer(verifiers, retries=0, unparseable="score_zero").verify(answers)
    right, unparseable, wrong, empty = verification.verdicts
    assert (right, wrong) == (RIGHT, WRONG)
    assert unparseable == Verdict.scored(0, "unreadable", "no number", position=3, unparseable=True)
    assert empty == Verdict.scored(0, "no_answer", "truncated", unparseable=True)
    assert [verdict.was_unparseable for verdict in verification.verdicts] == [False, True, False, True]
    assert (verification.counts["scored"], verification.counts["unparseable"]) == (2, 2)


def test_score_zero_if_complete_makes_only_a_response_that_ended_by_itself_pay() -> None:
    answers = [answer("x"), answer("y"), answer("z", truncated=True), answer("", truncated=True)]
    verifiers = {"a": Scripted([[RIGHT, UNPARSEABLE, UNPARSEABLE]])}
    verification = Scorer(verifiers, retries=0, unparseable="score_zero_if_complete").verify(answers)
    assert [verdict.score for verdict in verification.verdicts] == [1.0, 0.0, None, None]
    assert verification.verdicts[2] == UNPARSEABLE
    assert [verdict.was_unparseable for verdict in verification.verdicts] == [False, True, True, True]
    assert (verification.counts["scored"], verification.counts["unparseable"]) == (1, 3)


@pytest.mark.parametrize("policy", ["score_zero", "score_zero_if_complete"])
def test_no_policy_makes_an_infra_error_a_zero(policy: Any) -> None:
    verification = Scorer({"a": Scripted([[INFRA]])}, retries=0, unparseable=policy).verify([answer("x")])
    assert verification.verdicts == [INFRA]


def test_a_task_that_names_an_unknown_verifier_is_the_users_error() -> None:
    with pytest.raises(UserError, match="verifier 'b' is not in"):
        verify([], [answer("x", "b")])


def test_no_answers_are_verified_without_asking_anybody() -> None:
    verification, verifier = verify([], [])
    assert (verification.verdicts, verification.counts, verifier.asked) == ([], Counter(), [])


def test_the_time_of_a_batch_is_measured() -> None:
    ticks = itertools.count(10.0, 2.5)
    verification = Scorer({"a": Scripted([[RIGHT]])}, retries=0, clock=lambda: next(ticks)).verify([answer("x")])
    assert verification.seconds == 2.5


def test_starting_and_closing_reach_every_verifier() -> None:
    verifiers = {"a": Scripted([]), "b": Scripted([])}
    scorer = Scorer(verifiers, retries=0)
    scorer.start()
    scorer.close()
    assert [verifier.life for verifier in verifiers.values()] == [["start", "close"]] * 2
