"""Whose fault it is when actors are lost over a batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reprise.core.types import Status, Verdict
from reprise.rewards.pool.case import DEATHS, LATE, Case, Loss

RIGHT = Verdict.scored(1.0, "correct")
UNPARSEABLE = Verdict.unparseable("no_answer")


def late_case(answers: int) -> Case:
    case = Case(answers, deadline_s=9)
    case.lost(Loss.LATE)
    assert case.alone
    return case


def test_the_one_answer_that_is_late_alone_too_scores_0_and_the_others_keep_their_verdicts() -> None:
    case = late_case(3)
    case.verified(RIGHT)
    case.lost(Loss.LATE)
    case.verified(RIGHT)
    verdicts = case.verdicts(witness=False)
    assert (verdicts[0], verdicts[2]) == (RIGHT, RIGHT)
    assert (verdicts[1].score, verdicts[1].reason) == (0.0, "timeout")


def test_a_slow_batch_whose_answers_are_fine_one_by_one_blames_nobody() -> None:
    case = late_case(2)
    case.verified(RIGHT)
    case.verified(UNPARSEABLE)
    assert case.verdicts(witness=True) == {0: RIGHT, 1: UNPARSEABLE}


def test_a_verifier_that_hangs_on_everything_is_an_infra_error_and_no_zero() -> None:
    case = late_case(2)
    case.lost(Loss.LATE)
    case.verified(UNPARSEABLE)  # found out without the backend that hangs: no witness
    assert case.verdicts(witness=False)[0].status is Status.INFRA_ERROR
    assert case.verdicts(witness=True)[0].reason == "timeout"


def test_one_death_says_nothing_the_batch_is_verified_again_as_it_is() -> None:
    case = Case(2, deadline_s=9)
    case.lost(Loss.DIED)
    assert not case.alone


def test_the_answer_that_an_actor_dies_of_three_times_is_an_infra_error_and_no_zero() -> None:
    case = Case(2, deadline_s=9)
    case.lost(Loss.DIED)
    case.lost(Loss.DIED)
    assert case.alone
    case.lost(Loss.DIED)
    case.verified(RIGHT)
    verdicts = case.verdicts(witness=True)
    assert verdicts[0].status is Status.INFRA_ERROR
    assert "died 3 times" in verdicts[0].explanation
    assert verdicts[1] == RIGHT


def test_being_late_once_after_deaths_is_not_blamed_before_it_happens_again() -> None:
    case = Case(1, deadline_s=9)
    case.lost(Loss.DIED)
    case.lost(Loss.DIED)
    case.lost(Loss.LATE)
    assert case.next == 0
    case.verified(RIGHT)
    assert case.verdicts(witness=True) == {0: RIGHT}


def test_an_actor_killed_for_another_batch_counts_for_nothing() -> None:
    case = Case(2, deadline_s=9)
    for _ in range(20):
        case.lost(Loss.KILLED)
    assert not case.alone
    case.lost(Loss.DIED)
    assert not case.alone


@given(st.integers(1, 6), st.lists(st.sampled_from([*Loss, RIGHT, UNPARSEABLE]), max_size=60), st.booleans())
def test_whatever_happens_each_answer_gets_one_verdict_after_a_bounded_number_of_losses(
    answers: int, events: list[Loss | Verdict], witness: bool
) -> None:
    case = Case(answers, deadline_s=9)
    losses = 0
    for event in [*events, *[Loss.DIED, Loss.LATE] * 40]:
        if case.next is None:
            break
        if isinstance(event, Loss):
            case.lost(event)
            losses += event is not Loss.KILLED
        elif case.alone:
            case.verified(event)
    assert case.next is None
    assert losses <= 2 + answers * (DEATHS + LATE - 1)
    verdicts = case.verdicts(witness)
    assert sorted(verdicts) == list(range(answers))
    assert all(verdict.reason == "timeout" for verdict in verdicts.values() if verdict.score == 0.0)
