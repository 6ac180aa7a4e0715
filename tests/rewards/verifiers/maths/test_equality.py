"""The table of what equals what, through the verifier with its real workers."""

from collections.abc import Iterator

import pytest
from cases_values import UNDEFINED
from cases_written import FINAL, UNFINISHED
from equality_cases import BY_RULE, EQUAL, UNEQUAL

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def maths() -> Iterator[MathsVerifier]:
    verifier = MathsVerifier(processes=2)
    verifier.start()
    yield verifier
    verifier.close()


def verify(maths: MathsVerifier, pairs: list[tuple[str, str]], rules: list[dict] | None = None) -> list[Verdict]:
    answers = [
        Answer(Task("t", "?", "maths", "math", reference, {"math": rule}), rf"So $\boxed{{{content}}}$.")
        for (reference, content), rule in zip(pairs, rules or [{}] * len(pairs), strict=True)
    ]
    for answer in answers:
        maths.check_task(answer.task)
    return maths.verify(answers)


def test_what_is_equal_scores_1(maths: MathsVerifier) -> None:
    verdicts = verify(maths, EQUAL)
    assert [(pair, v.status, v.detail) for pair, v in zip(EQUAL, verdicts, strict=True) if v.score != 1] == []


def test_what_is_not_equal_scores_0(maths: MathsVerifier) -> None:
    verdicts = verify(maths, UNEQUAL)
    assert [(pair, v.status, v.detail) for pair, v in zip(UNEQUAL, verdicts, strict=True) if v.reason != "wrong"] == []


def test_nothing_undefined_equals_anything(maths: MathsVerifier) -> None:
    assert [v.reason for v in verify(maths, UNDEFINED)] == ["wrong"] * len(UNDEFINED)
    lenient = verify(maths, UNDEFINED, [{"evaluate": True}] * len(UNDEFINED))
    assert [v.score for v in lenient] == [0] * len(UNDEFINED)


def test_a_task_may_state_other_rules(maths: MathsVerifier) -> None:
    verdicts = verify(
        maths, [(reference, answer) for _, reference, answer, _ in BY_RULE], [case[0] for case in BY_RULE]
    )
    assert [case for case, v in zip(BY_RULE, verdicts, strict=True) if v.score != float(case[3])] == []


def test_a_final_answer_in_any_form_scores_1(maths: MathsVerifier) -> None:
    verdicts = verify(maths, FINAL)
    assert [(pair, v.status, v.detail) for pair, v in zip(FINAL, verdicts, strict=True) if v.score != 1] == []


def test_work_left_to_do_scores_0_unless_the_task_takes_it(maths: MathsVerifier) -> None:
    strict, lenient = verify(maths, UNFINISHED), verify(maths, UNFINISHED, [{"evaluate": True}] * len(UNFINISHED))
    assert [pair for pair, verdict in zip(UNFINISHED, strict, strict=True) if verdict.reason != "wrong"] == []
    assert [pair for pair, verdict in zip(UNFINISHED, lenient, strict=True) if verdict.score != 1] == []


def test_rules_of_the_recipe_hold_for_tasks_that_state_none() -> None:
    lenient = MathsVerifier(rules={"percent": "ignore"})
    task = Task("t", "?", "maths", "math", "10")
    stricter = Task("t", "?", "maths", "math", "10", {"math": {"percent": "distinct"}})
    text = r"\boxed{10\%}"
    assert [v.score for v in lenient.verify([Answer(task, text), Answer(stricter, text)])] == [1, 0]


def test_any_of_several_references_is_enough(maths: MathsVerifier) -> None:
    task = Task("t", "?", "maths", "math", ["3", r"\pi", r"\text{none}"])
    verdicts = maths.verify([Answer(task, rf"\boxed{{{text}}}") for text in ("3.0", r"\pi", "None", "4", r"2\pi")])
    assert [verdict.score for verdict in verdicts] == [1, 1, 1, 0, 0]
