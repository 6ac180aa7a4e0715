"""What kept answers from being verified is reported once a kind, with its traceback, bounded, and stored nowhere."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.composition import ComposeVerifier, Part
from reprise.rewards.infra_errors import KINDS, InfraError, InfraErrors
from reprise.rewards.scoring import Scorer, Verification

RIGHT = Verdict.scored(1.0, "correct")


class Doing(Verifier):
    """Its `verify` is the function given."""

    def __init__(self, do: Callable[[Sequence[Answer]], Any]) -> None:
        self._do = do

    def verify(self, answers: Sequence[Answer]) -> Any:
        return self._do(answers)


def verification_of(do: Callable[[Sequence[Answer]], Any], *texts: str, retries: int = 0) -> Verification:
    answers = [Answer(Task("t", "?", "d", "mine", "5"), text) for text in texts or ("x", "y")]
    return Scorer({"mine": Doing(do)}, retries).verify(answers)


def raises(error: BaseException) -> Callable[[Sequence[Answer]], Any]:
    def verify(answers: Sequence[Answer]) -> Any:
        raise error

    return verify


def test_an_exception_is_reported_once_with_its_place_and_the_frames_of_the_verifiers_own_file() -> None:
    verification = verification_of(raises(KeyError("x")))
    [failure] = verification.failures
    assert failure.what.startswith("verifier 'mine' raised KeyError: 'x' (test_infra_errors.py:")
    assert failure.answers == 2
    assert failure.broken
    assert "raise error" in failure.traceback
    assert "test_infra_errors.py" in failure.traceback
    assert "scoring.py" not in failure.traceback, "our own frames say nothing"
    assert failure.traceback.endswith("KeyError: 'x'")


def test_verdicts_keep_the_line_and_not_the_traceback() -> None:
    verification = verification_of(raises(KeyError("x")))
    assert {verdict.explanation for verdict in verification.verdicts} == {verification.failures[0].what}
    assert "Traceback" not in json.dumps([dict(verdict.detail) for verdict in verification.verdicts])


def test_causes_are_reported_and_a_failure_that_a_retry_mended_has_cost_no_answer() -> None:
    def once(answers: Sequence[Answer]) -> list[Verdict]:
        if len(answers) > 1:
            try:
                json.loads("")
            except ValueError as error:
                raise RuntimeError("no reply") from error
        return [RIGHT] * len(answers)

    verification = verification_of(once, retries=1)
    assert verification.verdicts == [RIGHT, RIGHT]
    [failure] = verification.failures
    assert failure.answers == 0
    assert failure.traceback.index("JSONDecodeError") < failure.traceback.index("RuntimeError: no reply")


def deep(n: int) -> None:
    if n == 0:
        raise ValueError("at the bottom")
    deeper(n - 1)


def deeper(n: int) -> None:
    deep(n)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("long " * 10**6), "ValueError: long"),
        (ValueError("\x1b[2J\x1b]0;owned\x07\ud800"), "ValueError: �[2J"),
        (Unspeakable(), "Unspeakable: its message cannot be read"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError("late"), "CancelledError: late"),
        (GeneratorExit(), "GeneratorExit"),
        (type("\x1b[2J", (Exception,), {})(), "raised �[2J: "),
        (ExceptionGroup("many", [ValueError("a")] * 1000), "ExceptionGroup: many"),
    ],
)
def test_what_is_reported_is_bounded_and_harmless(error: BaseException, said: str) -> None:
    [failure] = verification_of(raises(error)).failures
    assert said in failure.what
    assert len(failure.what) < 500
    assert len(failure.traceback) <= 4000
    assert all(character.isprintable() or character == "\n" for character in str(failure))


def test_ctrl_c_is_nobodys_infra_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        verification_of(raises(KeyboardInterrupt()))


def test_a_deep_stack_shows_where_the_verifier_begins_and_where_it_failed() -> None:
    [failure] = verification_of(lambda answers: deep(100)).failures
    assert "in verify" in failure.traceback
    assert "more frames" in failure.traceback
    assert 'raise ValueError("at the bottom")' in failure.traceback


def test_an_answers_text_is_reported_only_where_the_exception_says_it() -> None:
    def verify(answers: Sequence[Answer]) -> Any:
        text = answers[0].text
        return text["score"]  # type: ignore[index]

    [failure] = verification_of(verify, "a secret of the policy").failures
    assert "secret" not in str(failure)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([1.0, 0.0], "verify returned a list of float; return one Verdict per answer, such as Verdict.scored(1.0, "),
        (1.0, "verify returned a float, not a list; return one Verdict per answer"),
        (None, "verify returned None; return one Verdict per answer"),
        (np.ones(2), "verify returned a ndarray, not a list"),
        ((v for v in [RIGHT]), "verify returned a generator, not a list"),
        ([RIGHT, 1.0], "verify returned a list of Verdict and float"),
        ([RIGHT], "verify returned 1 verdict for 2 answers; return one Verdict per answer, in the order of the "),
        ([], "verify returned 0 verdicts for 2 answers"),
    ],
)
def test_what_cannot_be_verdicts_is_refused_in_words_that_say_what_to_return(returned: Any, said: str) -> None:
    verification = verification_of(lambda answers: returned)
    assert [verdict.status for verdict in verification.verdicts] == [Status.INFRA_ERROR] * 2
    assert said in verification.verdicts[0].explanation
    assert verification.failures[0].broken


def test_answers_whose_verdicts_were_of_a_wrong_number_are_not_verified_again() -> None:
    asked: list[int] = []

    def verify(answers: Sequence[Answer]) -> list[Verdict]:
        asked.append(len(answers))
        return [RIGHT]

    verification = verification_of(verify, "x", "y", "z", retries=2)
    assert [verdict.status for verdict in verification.verdicts] == [Status.INFRA_ERROR] * 3
    assert (asked, [failure.answers for failure in verification.failures]) == ([3], [3])
    part = ComposeVerifier({"part": Part(use="test_infra_errors:OneForAll")})
    assert verification_of(part.verify, "x", "y", retries=2).counts["infra_error"] == 2


class OneForAll(Verifier):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [RIGHT]


def test_a_verifiers_own_infra_errors_are_reported_by_kind_and_are_no_defect_of_its_code() -> None:
    said = [Verdict.infra_error("infra", f"no reply from 'judge-{i}' in {i} s") for i in range(9)]
    [failure] = verification_of(lambda answers: said, *"abcdefghi").failures
    assert failure.what == "verifier 'mine': no reply from 'judge-0' in 0 s"
    assert (failure.answers, failure.broken) == (9, False)


def test_whatever_a_plug_in_puts_into_its_detail_is_no_harm() -> None:
    odd = Verdict.infra_error("infra", "odd", infra_error={"kind": 3})
    assert len(verification_of(lambda answers: [odd, odd]).failures) == 1


class Raises(Verifier):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        raise KeyError("x")


def test_the_traceback_of_a_part_is_reported_by_the_composition() -> None:
    whole = ComposeVerifier(parts={"right": Part(use="test_infra_errors:Raises")})
    verification = Scorer({"graded": whole}, retries=1).verify([Answer(Task("t", "?", "d", "graded", "5"), "x")])
    [failure] = verification.failures
    assert failure.what.startswith("right: verifier 'right' raised KeyError: 'x'")
    assert 'raise KeyError("x")' in failure.traceback
    assert (failure.answers, failure.broken) == (1, True)


def test_a_run_reports_each_kind_once_counts_all_and_keeps_a_bounded_number() -> None:
    run = InfraErrors()
    assert run.add([InfraError("a", "first", answers=2)]) == [InfraError("a", "first", answers=2)]
    assert run.add([InfraError("a", "second", answers=3), InfraError("b", "other", answers=9)]) == [
        InfraError("b", "other", answers=9)
    ]
    assert [(error.what, error.answers) for error in run] == [("other", 9), ("first", 5)]
    assert len(run.add(InfraError(f"kind {i}", "x", answers=1) for i in range(100))) == KINDS - 2
    assert run.answers == 14 + 100
