"""What `rewards/base.py: Verifier` promises, check by check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reprise.rewards import contract
from reprise.rewards.base import Answer, Verifier


def test_it_may_be_closed_without_being_started_and_twice(make_verifier: Callable[[], Verifier]) -> None:
    contract.check_life(make_verifier)


def test_it_accepts_the_task_before_it_is_started(make_verifier: Callable[[], Verifier], right: Answer) -> None:
    make_verifier().check_task(right.task)


def test_the_right_answer_scores_more_and_verdicts_come_in_order(
    started: Verifier, right: Answer, wrong: Answer
) -> None:
    contract.check_order(started, right, wrong)


@pytest.mark.parametrize("name", contract.HOSTILE_TEXTS)
def test_a_hostile_text_gets_a_verdict_below_the_right_answers(started: Verifier, right: Answer, name: str) -> None:
    contract.check_hostile_text(started, name, right)


def test_a_truncated_response_without_an_answer_is_unparseable(started: Verifier, right: Answer) -> None:
    contract.check_truncated(started, right)


def test_honest_answers_are_scored_among_hostile_ones(started: Verifier, right: Answer, wrong: Answer) -> None:
    contract.check_still_well(started, right, wrong)
