"""The instruction verifier's verdicts, from real worker processes, on honest and hostile answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from instruction_examples import EXAMPLES

from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.verifiers.instruction.verifier import InstructionVerifier

NO_COMMA = {"id": "punctuation:no_comma", "kwargs": {}}
THREE_WORDS = {"id": "length_constraints:number_words", "kwargs": {"num_words": 3, "relation": "at least"}}


def task(*constraints: Any) -> Task:
    return Task("t1", "?", "writing", "instruction", {"constraints": list(constraints)})


def answer(text: str, *constraints: Any, truncated: bool = False) -> Answer:
    return Answer(task(*constraints), text, truncated)


@pytest.fixture(scope="module")
def verifier() -> Iterator[InstructionVerifier]:
    made = InstructionVerifier(processes=2, cpu_s=1.0)
    made.start()
    yield made
    made.close()


def with_settings(text: str, **settings: Any) -> Verdict:
    made = InstructionVerifier(processes=1, **settings)
    try:
        return made.verify([answer(text, NO_COMMA, THREE_WORDS)])[0]
    finally:
        made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "text", "score", "reason"),
    [
        ({}, "one two three", 1.0, "correct"),
        ({}, "one, two, three", 0.0, "wrong"),
        ({"partial": True}, "one, two, three", 0.5, "partial"),
        ({"partial": True}, "one, two", 0.0, "wrong"),
        ({}, "Sure, here:\none two three", 0.0, "wrong"),
        ({"mode": "loose"}, "Sure, here:\none two three", 1.0, "correct"),
        ({"mode": "loose"}, "Sure,\none", 0.0, "wrong"),
    ],
)
def test_all_constraints_count_strictly_unless_the_recipe_says_otherwise(
    settings: dict[str, Any], text: str, score: float, reason: str
) -> None:
    verdict = with_settings(text, **settings)
    assert (verdict.score, verdict.reason) == (score, reason)


@pytest.mark.slow
def test_the_detail_reports_each_constraint_strictly_and_loosely(verifier: InstructionVerifier) -> None:
    [verdict] = verifier.verify([answer("Sure, here:\none two three", NO_COMMA, THREE_WORDS)])
    assert verdict.detail["constraints"] == [
        {"id": "punctuation:no_comma", "strict": False, "loose": True},
        {"id": "length_constraints:number_words", "strict": True, "loose": True},
    ]
    assert verdict.explanation == "not followed: punctuation:no_comma"


@pytest.mark.slow
def test_only_what_follows_the_reasoning_is_verified(verifier: InstructionVerifier) -> None:
    [verdict] = verifier.verify([answer("<think>well, then, so</think>\n\none two three\n", NO_COMMA, THREE_WORDS)])
    assert verdict.score == 1


@pytest.mark.parametrize(
    ("text", "truncated"),
    [("<think>one two three", False), ("<think>one two", True), ("one two three", True), ("", True)],
)
def test_unended_reasoning_or_a_truncated_answer_is_unparseable(text: str, truncated: bool) -> None:
    [verdict] = InstructionVerifier().verify([answer(text, NO_COMMA, truncated=truncated)])
    assert (verdict.status, verdict.reason) == (Status.UNPARSEABLE, "no_answer")


@pytest.mark.parametrize("text", ["", " \n", "<think>one two three</think> \n"])
@pytest.mark.parametrize("mode", ["strict", "loose"])
def test_an_empty_answer_follows_no_constraint(text: str, mode: Any) -> None:
    [verdict] = InstructionVerifier(mode=mode, partial=True).verify([answer(text, NO_COMMA, {"id": "words:vowel"})])
    assert (verdict.score, verdict.reason) == (0.0, "wrong")
    assert [(each["strict"], each["loose"]) for each in verdict.detail["constraints"]] == [(False, False)] * 2


def test_an_answer_beyond_the_length_limit_scores_0_without_a_worker() -> None:
    verifier = InstructionVerifier(max_chars=100)
    [verdict] = verifier.verify([answer("x" * 101, NO_COMMA)])
    assert (verdict.score, verdict.reason, verdict.explanation) == (0.0, "output_limit", "101 characters")
    assert verifier.pool.pids == []


def test_an_answer_too_random_for_a_request_scores_0_without_a_worker() -> None:
    noise = random.Random(1)
    text = "".join(chr(noise.randrange(0x1F000, 0x2F000)) for _ in range(49_000))
    [verdict] = InstructionVerifier().verify([answer(text, NO_COMMA)])
    assert (verdict.score, verdict.reason) == (0.0, "output_limit")


@pytest.mark.slow
def test_a_long_answer_in_any_script_is_verified(verifier: InstructionVerifier) -> None:
    texts = ["The quick brown fox jumps over it. " * 1400, "यह हिंदी में एक वाक्य है। " * 1800, "猫が好きです。" * 7000]
    assert [verdict.score for verdict in verifier.verify([answer(text, NO_COMMA) for text in texts])] == [1, 1, 1]


@pytest.mark.slow
def test_an_answer_that_hangs_a_checker_scores_0_and_the_others_are_verified(verifier: InstructionVerifier) -> None:
    one = {
        "id": "change_case:capital_word_frequency",
        "kwargs": {"capital_frequency": 1, "capital_relation": "at least"},
    }
    capitals = [one] * 10  # half a second each, no checker takes longer
    deaths = verifier.pool.deaths
    bomb = "p. " * 16_000
    verdicts = verifier.verify([answer("NO", *capitals), answer(bomb, *capitals), answer("no", *capitals)])
    assert [(verdict.score, verdict.reason) for verdict in verdicts] == [(1, "correct"), (0, "timeout"), (0, "wrong")]
    assert verifier.pool.deaths - deaths in (2, 3), "killed, and killed again alone"


@pytest.mark.slow
def test_a_thousand_hostile_texts_crash_no_checker(verifier: InstructionVerifier) -> None:
    texts = [
        "\0" * 50,
        "\ud800" * 50,
        "{0} {x} %s \\1 \\g<9>",
        "[" * 1000,
        "(" * 1000,
        '"' * 999,
        "*" * 999,
        "9" * 5000,
    ]
    texts += ["<prd><stop>" * 50, "." * 999, "\u202e\ufeff\u0130\ufb01", "१२३ 四 Ⅷ ²", "\r\r\n\x0b\x0c\x85\u2028"]
    everything = [{"id": example.id, "kwargs": example.kwargs} for example in EXAMPLES]
    deaths = verifier.pool.deaths
    first = verifier.verify([answer(text, each) for text in texts for each in everything])
    assert {verdict.status for verdict in first} == {Status.SCORED}
    assert verifier.verify([answer(text, each) for text in texts for each in everything]) == first
    assert verifier.pool.deaths == deaths


INVISIBLE = [
    "\u200b",
    "\ufeff \u2060",
    "\u00ad\n",
    "\U000e0041\U000e007f",
    "\ufe0f",
    "\u2800",
    "\0\x01",
    "\ud800",
    "\u3164",
]


@pytest.mark.parametrize("text", INVISIBLE)
def test_an_answer_of_which_nothing_can_be_seen_follows_none_of_the_83(text: str) -> None:
    everything = [{"id": example.id, "kwargs": example.kwargs} for example in EXAMPLES]
    [verdict] = InstructionVerifier(partial=True).verify([answer(text, *everything)])
    assert (verdict.score, verdict.explanation) == (0.0, "empty answer")


@pytest.mark.slow
def test_invisible_characters_make_no_other_word_of_a_word(verifier: InstructionVerifier) -> None:
    hidden = "ve\u200bry ve\u2060ry very\ufeff"
    forbidden = {"id": "keywords:forbidden_words", "kwargs": {"forbidden_words": ["very"]}}
    unique = {"id": "count:unique_word_count", "kwargs": {"N": 2}}
    repeated = {"id": "words:repeats", "kwargs": {"small_n": 2}}
    repeats = {"id": "repeat:repeat_change", "kwargs": {"prompt_to_repeat": "Tell me why\u200b"}}
    asked = [answer(hidden, each) for each in (forbidden, unique, repeated)] + [answer("Show me why", repeats)]
    assert [verdict.score for verdict in verifier.verify(asked)] == [0, 0, 0, 1]


@pytest.mark.slow
def test_how_far_the_first_line_is_indented_counts_in_stairs(verifier: InstructionVerifier) -> None:
    stairs = {"id": "format:line_indent", "kwargs": {}}
    texts = ["one\n  two", "<think>so</think>\n\n  one\n   two\n", "<think>so</think>\n\n    one\n  two"]
    assert [verdict.score for verdict in verifier.verify([answer(text, stairs) for text in texts])] == [1, 1, 0]


@pytest.mark.slow
def test_the_instruction_verifier_keeps_the_contract() -> None:
    check_contract(
        lambda: InstructionVerifier(processes=1, cpu_s=2.0),
        right=answer('"one two three"', {"id": "startend:quotation"}, THREE_WORDS),
        wrong=answer("one two three", {"id": "startend:quotation"}, THREE_WORDS),
    )
