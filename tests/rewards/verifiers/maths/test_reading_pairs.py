"""How answers may be written, through the verifier with its real workers: each loosening beside its near misses."""

from collections.abc import Iterator

import cases_colons
import cases_names
import cases_sets
import cases_typed
import pytest

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

pytestmark = pytest.mark.slow

TOPICS = (cases_colons, cases_names, cases_sets, cases_typed)
EQUAL = [pair for topic in TOPICS for pair in topic.EQUAL]
UNEQUAL = [pair for topic in TOPICS for pair in topic.UNEQUAL]


@pytest.fixture(scope="module")
def maths() -> Iterator[MathsVerifier]:
    verifier = MathsVerifier(processes=2)
    verifier.start()
    yield verifier
    verifier.close()


def verify(maths: MathsVerifier, pairs: list[tuple[str, str]]) -> list[Verdict]:
    return maths.verify([Answer(Task("t", "?", "maths", "math", a), rf"So $\boxed{{{b}}}$.") for a, b in pairs])


def test_the_same_in_other_words_scores_1(maths: MathsVerifier) -> None:
    verdicts = verify(maths, EQUAL)
    assert [(pair, v.status, v.detail) for pair, v in zip(EQUAL, verdicts, strict=True) if v.score != 1] == []


def test_a_near_miss_is_wrong_or_unreadable(maths: MathsVerifier) -> None:
    verdicts = verify(maths, UNEQUAL)
    wrong = ("wrong", "unreadable")
    assert [
        (pair, v.status, v.detail) for pair, v in zip(UNEQUAL, verdicts, strict=True) if v.reason not in wrong
    ] == []


def test_every_reference_here_can_be_loaded(maths: MathsVerifier) -> None:
    for reference, _ in EQUAL:
        maths.check_task(Task("t", "?", "maths", "math", reference))


FONTS = ("{}", "${}$", r"\({}\)", "  {}  ", "{}.", r"\displaystyle {}", r"\,{}\;")


def test_a_reference_in_other_spacing_is_right(maths: MathsVerifier) -> None:
    pairs = [(a, style.format(a)) for a, _ in EQUAL if "$" not in a for style in FONTS]
    pairs += [(a, a.replace("=", " = ").replace(",", ", ").replace(":", " : ")) for a, _ in EQUAL if ", " in a]
    verdicts = verify(maths, pairs)
    assert [(pair, v.status, v.detail) for pair, v in zip(pairs, verdicts, strict=True) if v.score != 1] == []


@pytest.mark.parametrize(
    ("reference", "answer", "score"),
    [
        ("The function is even.", "the function  is even", 1),
        ("The function is even.", r"\text{The function is even}", 1),
        ("The function is even.", "The function is odd.", 0),
        (r"Increasing on $(0,1)$", r"\text{increasing on }(0,1)", 1),
        (r"Increasing on $(0,1)$", r"\text{increasing on }(0,2)", 0),
        (r"\text{neither } A \text{ nor } B", r"\text{Neither }A\text{ nor }B", 1),
        (r"\text{neither } A \text{ nor } B", r"\text{Neither }B\text{ nor }A", 0),
    ],
)
def test_free_text_is_right_whatever_its_case_and_spacing(
    maths: MathsVerifier, reference: str, answer: str, score: float
) -> None:
    [verdict] = verify(maths, [(reference, answer)])
    assert (verdict.score or 0) == score
