"""The maths verifier with the real math-verify in real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.verifiers.maths import MathsVerifier
from reprise.rewards.workers.workers import WorkerPool

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


def test_the_last_box_counts(maths: MathsVerifier) -> None:
    texts = [r"\boxed{1} wait \boxed{2}", r"\boxed{2} wait \boxed{1}", r"\boxed{2} wait \boxed{1"]
    assert [verdict.score for verdict in maths.verify([answer("4/2", text) for text in texts])] == [1, 0, 1]


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
        (r"\boxed{" + "(" * 150 + "1" + ")" * 150 + "}", False, "unreadable"),
        (r"\boxed{2 3}", False, "unreadable"),
        (r"\boxed{x'_{2}_{3}}", False, "unreadable"),
    ],
)
def test_an_answer_not_found_or_not_readable_is_unparseable(
    maths: MathsVerifier, text: str, truncated: bool, reason: str
) -> None:
    [verdict] = maths.verify([answer(r"\sqrt{2}", text, truncated)])
    assert (verdict.status, verdict.reason) == (Status.UNPARSEABLE, reason)


def test_other_marks_of_reasoning_hide_its_boxes() -> None:
    verifier = MathsVerifier(reasoning=["<reasoning>", "</reasoning>"])
    texts = [r"<reasoning>\boxed{2}</reasoning>", r"<reasoning>\boxed{3}</reasoning>\boxed{2}", r"<think>\boxed{2}"]
    assert [v.score for v in verifier.verify([answer("2", text) for text in texts])] == [None, 1, 1]


@pytest.mark.parametrize(
    ("reference", "content", "score"),
    [("12", "12.0", 1), ("12", "-12", 0), (r"\frac12", "0.50", 1), ("1e3", r"\{1000\}", 1), ("3", "(3,4)", 0)],
)
def test_plain_numbers_need_no_worker(reference: str, content: str, score: float) -> None:
    verifier = MathsVerifier()
    assert verifier.verify([boxed(reference, content)])[0].score == score
    assert verifier.pool.pids == []


def test_an_exact_match_needs_no_worker() -> None:
    verifier = MathsVerifier()
    assert (
        verifier.verify([boxed(r"$\frac{1}{2}$", r" \frac{1}{2} "), boxed("9^{9^{9^9}}", "9^{9^{9^9}}")])
        == [Verdict.scored(1.0, "correct")] * 2
    )
    assert verifier.pool.pids == []


def test_an_answer_beyond_the_length_limit_scores_0_without_a_worker() -> None:
    verifier = MathsVerifier(max_chars=100)
    [verdict] = verifier.verify([boxed("2", "1+" * 50 + "1")])
    assert (verdict.score, verdict.reason, verdict.explanation) == (0.0, "output_limit", "101 characters in the box")
    assert verifier.pool.pids == []


BOMB = "e^{e^{e^{e^{5}}}}"  # the exponent alone would have more digits than there is memory


def test_an_answer_that_hangs_math_verify_scores_0_for_timeout_and_the_others_are_verified(
    maths: MathsVerifier,
) -> None:
    deaths = maths.pool.deaths
    verdicts = maths.verify(
        [boxed(r"\sqrt{8}", text) for text in (r"2\sqrt{2}", BOMB, BOMB, r"3\sqrt{2}", r"\frac{4}{\sqrt{2}}")],
    )
    assert [verdict.score for verdict in verdicts] == [1, 0, 0, 0, 1]
    assert [verdict.reason for verdict in verdicts[1:3]] == ["timeout"] * 2
    assert maths.pool.deaths - deaths in (2, 3), "equal answers are tried once: killed, and killed again alone"


def test_a_reference_that_hangs_is_not_the_answers_fault(maths: MathsVerifier) -> None:
    [verdict] = maths.verify([boxed(BOMB, r"\sqrt{2}")])
    assert (verdict.status, verdict.reason) == (Status.INFRA_ERROR, "infra")
    assert "reference" in verdict.explanation


def test_a_reference_that_cannot_be_read_is_not_the_answers_fault(maths: MathsVerifier) -> None:
    verdicts = maths.verify([boxed("(((", "2"), boxed(r"x^", "2"), boxed(r"\frac{1}{2}+", "2")])
    assert [verdict.status for verdict in verdicts] == [Status.INFRA_ERROR] * 3
    assert all("reference" in verdict.explanation for verdict in verdicts)


def test_one_reference_that_cannot_be_read_does_not_spoil_another(maths: MathsVerifier) -> None:
    assert [v.score for v in maths.verify([boxed(["x^", "2"], "2.0"), boxed(["x^", "2"], r"\sqrt{9}")])] == [1, 0]


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
    verdicts = maths.verify([boxed("x^5-x+1=0", form.format(code)) for form in forms])
    assert not any(verdict.score for verdict in verdicts)
    assert not marker.exists()


def test_text_is_not_evaluated_even_when_sympy_is_asked_to() -> None:
    pool = WorkerPool("evaluation_probe:handle", None, 1, MathsVerifier(processes=1).pool._limits)
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


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("", "answer: '' cannot be read"),
        ("(x^2)'=2x", "answer: .* cannot be read: a prime behind"),
        ("(1,2", r"answer: '\(1,2' cannot be read: \) is missing"),
        (r"\frac{1}", "answer: .* cannot be read: an argument is missing"),
        ("1" * 6000, "answer: .* cannot be read: 6000 characters"),
        (["1", "{"], "answer: '{' cannot be read"),
    ],
)
def test_a_reference_that_cannot_be_read_is_refused_where_that_is_cheap(reference: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"task 't1': {words}"):
        MathsVerifier().check_task(answer(reference, "").task)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"percent": "no"}, "metadata.math.percent: .*distinct.*not 'no'"),
        ({"tolerance": -1}, "metadata.math.tolerance: .*greater than or equal to 0, not -1"),
        ({"tolerance": "0.1"}, "metadata.math.tolerance"),
        ({"percents": "distinct"}, "metadata.math.percents: .*valid: percent, order"),
        ("loose", "metadata.math must be rules such as"),
    ],
)
def test_rules_that_do_not_exist_are_refused_by_name(rules: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"task 't1': {words}"):
        MathsVerifier().check_task(Task("t1", "?", "maths", "math", "1", {"math": rules}))
    if isinstance(rules, dict):
        with pytest.raises(ValueError, match=next(iter(rules))):
            MathsVerifier(rules=rules)
