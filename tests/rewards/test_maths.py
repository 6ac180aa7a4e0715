"""The maths verifier with the real math-verify in real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buffer.errors import UserError
from buffer.types import Status, Task, Verdict
from rewards.base import Answer
from rewards.contract import check_contract
from rewards.maths import MathsVerifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def maths() -> Iterator[MathsVerifier]:
    verifier = MathsVerifier(processes=2, cpu_s=1.0, wall_s=30.0)
    verifier.start()
    yield verifier
    verifier.close()


def answer(reference: Any, text: str, truncated: bool = False) -> Answer:
    return Answer(Task("t1", "?", "maths", "math", reference), text, truncated)


def boxed(reference: Any, content: str) -> Answer:
    return answer(reference, rf"<think>Is it \boxed{{0}}?</think> It is $\boxed{{{content}}}$.")


EQUAL = [
    ("1", "1"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac12", "1/2"),
    ("0.5", r"\dfrac{1}{2}"),
    ("x+1", "1+x"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("1,234", "1234"),
    ("1.5", "1.50"),
    (r"\sum_{i=1}^{10} i", "55"),
    (r"\int_0^1 x dx", "0.5"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&\frac{8}{2}\end{pmatrix}"),
    ("Tuesday", r"\text{Tuesday}"),
    (["3", r"\pi"], r"\pi"),
    (r"$\frac{3}{4}$", "0.75"),
    (r"\boxed{7}", "7.0"),
    ("10^{20}", "100000000000000000000"),
]
UNEQUAL = [("1", "2"), (r"\frac{1}{2}", "0.51"), ("x+1", "x+2"), (["1", "2"], "3"), ("5", "99999!"), ("5", "")]


def test_equal_expressions_score_1(maths: MathsVerifier) -> None:
    verdicts = maths.judge([boxed(reference, content) for reference, content in EQUAL])
    assert {c: v.detail for (_, c), v in zip(EQUAL, verdicts, strict=True) if v.score != 1} == {}


def test_unequal_expressions_score_0(maths: MathsVerifier) -> None:
    verdicts = maths.judge([boxed(reference, content) for reference, content in UNEQUAL])
    assert [(v.score, v.reason) for v in verdicts] == [(0.0, "wrong")] * len(UNEQUAL)


def test_the_last_box_counts(maths: MathsVerifier) -> None:
    texts = [r"\boxed{1} wait \boxed{2}", r"\boxed{2} wait \boxed{1}", r"\boxed{2} wait \boxed{1"]
    assert [verdict.score for verdict in maths.judge([answer("4/2", text) for text in texts])] == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "truncated", "reason"),
    [
        ("2", False, "no_answer"),
        ("", False, "no_answer"),
        (r"<think>\boxed{2}", True, "no_answer"),
        (r"</think>\boxed{2", True, "no_answer"),
        (r"\boxed{\frac{2}}", False, "unreadable"),
        (r"\boxed{(((}", False, "unreadable"),
        ("\\boxed{2\0}", False, "unreadable"),
        ("\\boxed{\ud800}", False, "unreadable"),
    ],
)
def test_an_answer_not_found_or_not_readable_is_unparseable(
    maths: MathsVerifier, text: str, truncated: bool, reason: str
) -> None:
    [verdict] = maths.judge([answer("2", text, truncated)])
    assert (verdict.status, verdict.reason) == (Status.UNPARSEABLE, reason)


def test_an_exact_match_needs_no_worker() -> None:
    verifier = MathsVerifier()
    assert (
        verifier.judge([boxed(r"$\frac{1}{2}$", r" \frac{1}{2} "), boxed("9^{9^{9^9}}", "9^{9^{9^9}}")])
        == [Verdict.scored(1.0, "correct")] * 2
    )
    assert verifier.pool.pids == []


def test_an_answer_beyond_the_length_limit_scores_0_without_a_worker() -> None:
    verifier = MathsVerifier(max_chars=100)
    [verdict] = verifier.judge([boxed("2", "1+" * 50 + "1")])
    assert (verdict.score, verdict.reason, verdict.explanation) == (0.0, "output_limit", "101 characters in the box")
    assert verifier.pool.pids == []


@pytest.mark.parametrize("bomb", ["9^{9^{9^{9}}}", "(" * 150 + "1" + ")" * 150])
def test_an_answer_that_hangs_math_verify_scores_0_for_timeout_and_the_others_are_judged(
    maths: MathsVerifier, bomb: str
) -> None:
    deaths = maths.pool.deaths
    verdicts = maths.judge(
        [boxed("5", "2+3"), boxed("5", bomb), boxed("5", bomb), boxed("5", "2+2"), boxed("5", "10/2")]
    )
    assert [verdict.score for verdict in verdicts] == [1, 0, 0, 0, 1]
    assert [verdict.reason for verdict in verdicts[1:3]] == ["timeout"] * 2
    assert maths.pool.deaths - deaths in (2, 3), "equal answers are tried once: killed, and killed again alone"


def test_a_reference_that_hangs_is_not_the_answers_fault(maths: MathsVerifier) -> None:
    [verdict] = maths.judge([boxed("9^{9^{9^{9}}}", "2")])
    assert (verdict.status, verdict.reason) == (Status.INFRA_ERROR, "infra")
    assert "reference" in verdict.explanation


def test_a_reference_that_cannot_be_read_is_not_the_answers_fault(maths: MathsVerifier) -> None:
    [verdict] = maths.judge([boxed("(((", "2")])
    assert verdict.status is Status.INFRA_ERROR


def test_nothing_an_answer_says_is_evaluated(maths: MathsVerifier, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path('{marker}').touch()"
    forms = [
        "{}",
        r"\text{{{}}}",
        r"\mathrm{{{}}}",
        r"\operatorname{{{}}}(1)",
        "x_{{{}}}",
        r"\text{{{}}} + x^5 = 1",
        "f({})",
    ]
    verdicts = maths.judge([boxed("x^5-x+1=0", form.format(code)) for form in forms])
    assert not any(verdict.score for verdict in verdicts)
    assert not marker.exists()


def test_text_is_not_evaluated_even_when_sympy_is_asked_to() -> None:
    pool = MathsVerifier(processes=1).pool
    pool._start_arguments = ("evaluation_probe:handle", None, pool._limits)
    try:
        assert [outcome.value for outcome in pool.run(["sympify", "parse_expr", "lambdify", "number"])] == [
            "refused"
        ] * 4
    finally:
        pool.close()


def test_the_maths_verifier_keeps_the_contract() -> None:
    check_contract(lambda: MathsVerifier(processes=1), boxed("1/2", "0.5"), boxed("1/2", "0.6"))


@pytest.mark.parametrize("reference", [None, 5, [], ["1", 2]])
def test_a_task_without_a_reference_is_refused(reference: Any) -> None:
    with pytest.raises(UserError, match="task 't1': answer must be"):
        MathsVerifier().check_task(answer(reference, "").task)
