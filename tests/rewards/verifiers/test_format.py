"""The format verifier: one reasoning part, then an answer, whatever it says."""

from typing import Any

import pytest

from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.verifiers.format import FormatVerifier

TASK = Task("1", "?", "d", "v")


def verify(text: str, truncated: bool = False, **args: Any) -> Verdict:
    [verdict] = FormatVerifier(**args).verify([Answer(TASK, text, truncated)])
    return verdict


GOOD = "<think>so</think><ans>4</ans>"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, GOOD),
        ({}, " \n<think></think> It is <ans>5</ans> or <ans>4</ans>, I think."),
        ({}, f"\ufeff{GOOD}"),
        ({"answer": "boxed"}, r"<think>\boxed{1}</think>\boxed{2}"),
        ({"answer": "code"}, "<think>so</think>\n```python\nprint(1)\n```"),
        ({"answer": "text"}, "<think>so</think>4"),
        ({"reasoning": "optional"}, "<ans>4</ans>"),
        ({"reasoning": "optional"}, GOOD),
        ({"reasoning": "none"}, "<ans>4</ans>"),
        ({"opened": True}, "so</think><ans>4</ans>"),
        ({"opened": True}, GOOD),
        ({"markers": ["[THINK]", "[/THINK]"]}, "[THINK]so[/THINK]<ans>4</ans>"),
    ],
)
def test_a_response_built_as_asked_for_scores_1(args: dict[str, Any], text: str) -> None:
    assert verify(text, **args) == Verdict.scored(1.0, "correct")


@pytest.mark.parametrize(
    ("args", "text", "broken"),
    [
        ({}, "", "<think> 0 times, not once"),
        ({}, "<ans>4</ans>", "<think> 0 times, not once"),
        ({}, "<think>so<ans>4</ans>", "</think> 0 times, not once"),
        ({}, f"{GOOD}{GOOD}", "<think> 2 times, not once"),
        ({}, "<think>so</think></think><ans>4</ans>", "</think> 2 times, not once"),
        ({}, f"Well: {GOOD}", "text before <think>"),
        ({}, "</think><think><ans>4</ans>", "text before <think>"),
        ({}, "<think>so <ans>4</ans></think>", "no tag answer after the reasoning"),
        ({}, "<think>so</think><ans> </ans>", "an empty answer"),
        *(
            ({}, f"<think>so</think><ans>{nothing}</ans>", "an empty answer")
            for nothing in ("\u200b", "\ufeff ", "\0", "\ufe0f")
        ),
        ({"answer": "text"}, "<think>so</think>\u200b\u2060", "no text answer after the reasoning"),
        ({"answer": "code"}, "<think>so</think>\n```\n\u200b\n```", "an empty answer"),
        ({}, "<think>so</think><ans>4", "no tag answer after the reasoning"),
        ({"answer": "boxed"}, GOOD, "no boxed answer after the reasoning"),
        ({"answer": "text"}, "<think>so</think>\n", "no text answer after the reasoning"),
        ({"reasoning": "optional"}, "<think><ans>4</ans>", "</think> 0 times, not once"),
        ({"reasoning": "none"}, GOOD, "<think> or </think> in it"),
        ({"opened": True}, f"<think>{GOOD}", "<think> 2 times, not at most once"),
        ({"opened": True}, f"Well: {GOOD}", "text before <think>"),
        ({"opened": True}, "<ans>4</ans>", "</think> 0 times, not once"),
        ({"opened": True}, "<think>so <ans>4</ans>", "</think> 0 times, not once"),
    ],
)
def test_a_finished_response_of_another_build_scores_0_and_says_what_is_broken(
    args: dict[str, Any], text: str, broken: str
) -> None:
    assert verify(text, **args) == Verdict.scored(0.0, "malformed", broken)


def test_a_response_that_was_cut_off_is_unparseable_unless_it_is_complete() -> None:
    assert verify("<think>so", truncated=True).status is Status.UNPARSEABLE
    assert verify(f"{GOOD} and so", truncated=True).score == 1


@pytest.mark.parametrize("args", [{"markers": ["<think>"]}, {"markers": ["|", "|"]}, {"answer": "box"}, {"tag": ""}])
def test_settings_that_make_no_sense_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"markers|answer|tag"):
        FormatVerifier(**args)


HOSTILE = ["\ud800" * 9, "\0" * 9, "<think>" * 9000, "<ans>" * 9000, "</ans>" * 9000, r"\boxed{" * 9000, "{" * 90_000]
HOSTILE += [
    "```\n" * 9000,
    "<think></think>" + "\\" * 90_000,
    "\u202e" * 90_000,
    "<ans>" + "漢é😀" * 30_000,
    "~~~" * 30_000,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", ["tag", "boxed", "code", "text"])
@pytest.mark.parametrize("reasoning", ["required", "none"])
def test_hostile_responses_are_scored(answer: str, reasoning: str) -> None:
    verdicts = [verify(text, answer=answer, reasoning=reasoning) for text in HOSTILE]
    assert {verdict.status for verdict in verdicts} == {Status.SCORED}


def test_the_format_verifier_keeps_the_contract() -> None:
    check_contract(FormatVerifier, Answer(TASK, GOOD), Answer(TASK, "<ans>4</ans>"))
