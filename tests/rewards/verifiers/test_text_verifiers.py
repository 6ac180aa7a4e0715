"""The verifiers that only compare text: exact match and string rules."""

import itertools
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.contract import check_contract
from reprise.rewards.parsing import Extraction
from reprise.rewards.verifiers.exact import ExactVerifier
from reprise.rewards.verifiers.rules import RulesVerifier


def task(answer: Any) -> Task:
    return Task(id="t1", prompt="?", domain="d", verifier="v", answer=answer)


def verify(verifier: Verifier, answer: Any, text: str, truncated: bool = False) -> Verdict:
    [verdict] = verifier.verify([Answer(task(answer), text, truncated)])
    return verdict


@pytest.mark.parametrize(
    ("args", "reference", "text", "score"),
    [
        ({}, "Cat", "<ans> Cat\n</ans>", 1),
        ({}, "Cat", "<ans>cat</ans>", 0),
        ({}, "", "<ans></ans>", 1),
        ({}, "Cat", "<ans></ans>", 0),
        ({}, ["a", "b"], "<ans>b</ans>", 1),
        ({"casefold": True}, "Straße", "<ans>STRASSE</ans>", 1),
        ({"strip": False}, "Cat", "<ans>Cat </ans>", 0),
        ({"tag": "answer"}, "5", "<answer>5</answer>", 1),
        ({"extract": "boxed"}, "5", r"\boxed{4} no, \boxed{5}", 1),
        ({"extract": "text"}, "5", "<think>?</think>5", 1),
        ({}, "Cat", "<ans>\ufeffC\u200bat\u2060</ans>", 1),
        ({}, "C\u00adat", "<ans>Cat</ans>", 1),
        ({"strip": False}, "Cat", "<ans>Cat\u200b</ans>", 1),
        ({"extract": "boxed"}, "5", r"\boxed{5\0}".replace(r"\0", "\0"), 0),
    ],
)
def test_an_exact_answer_scores_1_and_any_other_0(args: dict, reference: Any, text: str, score: float) -> None:
    assert verify(ExactVerifier(**args), reference, text) == Verdict.scored(score, "correct" if score else "wrong")


@pytest.mark.parametrize(
    ("args", "text", "truncated"),
    [
        ({}, "5", False),
        ({}, "<think>... <ans>5</ans>", True),
        ({}, "<ans>5", True),
        ({"extract": "boxed"}, "<ans>5</ans>", False),
        ({"extract": "text"}, "5", True),
        ({"extract": "text"}, "\u200b\ufeff", False),
    ],
)
def test_a_response_without_an_answer_is_unparseable_and_not_zero(args: dict, text: str, truncated: bool) -> None:
    verdict = verify(ExactVerifier(**args), "5", text, truncated)
    assert (verdict.status, verdict.score, verdict.reason) == (Status.UNPARSEABLE, None, "no_answer")


HOSTILE = [
    "\ud800",
    "\0" * 50,
    "<ans>" * 20_000,
    "</ans>" * 20_000,
    "<ans>" + "9" * 99_999,
    r"\boxed{" * 20_000,
    "{" * 99_999,
]
HOSTILE += [
    "<ans>\u202e5</ans>\u200b",
    "<ans>" + "İßﬁ" * 30_000 + "</ans>",
    "<think>" * 20_000,
    "`" * 99_999,
    "５",
    "<ANS>5</ANS>",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("extract", ["tag", "boxed", "text", "code"])
def test_hostile_answers_are_scored_or_unparseable(extract: Extraction) -> None:
    verifier = ExactVerifier(extract=extract, casefold=True)
    verdicts = [verify(verifier, "6", text) for text in HOSTILE]
    verdicts += [verify(RulesVerifier(partial=True), RULES, text) for text in HOSTILE]
    assert {verdict.status for verdict in verdicts} <= {Status.SCORED, Status.UNPARSEABLE}
    assert not any(verdict.score for verdict in verdicts)


def test_a_truncated_response_with_an_answer_is_scored() -> None:
    assert verify(ExactVerifier(), "5", "<ans>5</ans> and so", truncated=True).score == 1


@pytest.mark.parametrize("answer", [None, 5, [], ["a", 5], {"a": 1}])
def test_exact_match_refuses_a_task_without_a_text_reference(answer: Any) -> None:
    with pytest.raises(UserError, match="task 't1': answer must be a string or a list"):
        ExactVerifier().check_task(task(answer))


RULES = {"length": 3, "required": ["a", "b"], "forbidden": ["z"]}


@pytest.mark.parametrize(
    ("text", "score", "partial"),
    [
        ("abc", 1, 1),
        ("bca", 1, 1),
        ("aab", 1, 1),
        ("abcd", 0, 3 / 4),
        ("acc", 0, 3 / 4),
        ("abz", 0, 3 / 4),
        ("zzzz", 0, 0),
        ("", 0, 0),
        ("ABC", 0, 0),
        ("ab ", 0, 0),
        ("ab1", 0, 0),
        ("abé", 0, 0),
        ("abc\n", 0, 0),
    ],
)
def test_a_string_is_right_if_it_keeps_all_rules(text: str, score: float, partial: float) -> None:
    assert verify(RulesVerifier(), RULES, f"<ans>{text}</ans>").score == score
    assert verify(RulesVerifier(partial=True), RULES, f"<ans>{text}</ans>").score == partial


def test_the_rules_agree_with_counting_every_string_of_four_letters() -> None:
    strings = ["".join(letters) for n in (2, 3, 4) for letters in itertools.product("abyz", repeat=n)]
    right = [s for s in strings if len(s) == 3 and {"a", "b"} <= set(s) and "z" not in s]
    verdicts = RulesVerifier().verify([Answer(task(RULES), f"<ans>{s}</ans>") for s in strings])
    assert [s for s, verdict in zip(strings, verdicts, strict=True) if verdict.score == 1] == right


def test_the_verdict_on_a_wrong_string_says_which_rule_it_breaks() -> None:
    broken = verify(RulesVerifier(), RULES, "<ans>bz</ans>")
    assert broken.detail == {"reason": "wrong", "explanation": "not length 3, not with a, not without z"}


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (None, "answer:"),
        ({"length": 0}, "answer.length"),
        ({"length": 3, "required": ["ab"]}, "answer.required.0"),
        ({"length": 3, "require": ["a"]}, "answer.require"),
        ({"length": 3, "required": ["a"], "forbidden": ["a"]}, "both required and forbidden"),
        ({"length": 1, "required": ["a", "b"]}, "do not fit into length 1"),
        ({"length": 1, "forbidden": [chr(c) for c in range(97, 123)]}, "every letter is forbidden"),
    ],
)
def test_rules_that_nothing_can_keep_are_refused(answer: Any, place: str) -> None:
    with pytest.raises(UserError, match=f"task 't1': .*{place}"):
        RulesVerifier().check_task(task(answer))


@pytest.mark.parametrize(
    ("make", "reference", "right", "wrong"),
    [
        (ExactVerifier, "4", "<ans>4</ans>", "<ans>5</ans>"),
        (lambda: ExactVerifier(extract="boxed"), "4", r"\boxed{4}", r"\boxed{5}"),
        (lambda: ExactVerifier(extract="text"), "4", "4", "5"),
        (RulesVerifier, RULES, "<ans>abc</ans>", "<ans>abz</ans>"),
    ],
)
def test_text_verifiers_keep_the_contract(make: Any, reference: Any, right: str, wrong: str) -> None:
    asked = task(reference)
    check_contract(make, Answer(asked, right), Answer(asked, wrong))
