"""Several verifiers as one: sums, gates, domains, and what an unparseable or failing part makes of the whole."""

from __future__ import annotations

import re
from typing import Any

import pytest
from composed_parts import LIFE

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards import registry
from reprise.rewards.base import Answer
from reprise.rewards.composition import ComposeVerifier
from reprise.rewards.contract import check_contract
from reprise.rewards.settings import RewardSettings


@pytest.fixture(autouse=True)
def _life() -> None:
    LIFE.clear()


def part(word: str, starts: bool = True, **more: Any) -> dict[str, Any]:
    return {"use": "composed_parts:Says", "args": {"word": word, "starts": starts}, **more}


def compose(**parts: Any) -> ComposeVerifier:
    return ComposeVerifier(parts=parts)


def verify(verifier: ComposeVerifier, text: str, domain: str = "d", answer: Any = "r") -> Verdict:
    [verdict] = verifier.verify([Answer(Task("1", "?", domain, "v", answer), text)])
    return verdict


SUM = {"right": part("right", weight=0.7), "style": part("style", weight=0.2), "short": part("short", weight=0.1)}


@pytest.mark.parametrize(
    ("text", "score", "reason"),
    [
        ("right=1 style=1 short=1", 1, "correct"),
        ("right=1 style=0 short=0", 0.7, "partial"),
        ("right=0 style=0.5 short=1", 0.2, "partial"),
        ("right=0 style=0 short=0", 0, "wrong"),
    ],
)
def test_a_score_is_the_weighted_sum_to_the_digit(text: str, score: float, reason: str) -> None:
    verdict = verify(compose(**SUM), text)
    assert (verdict.score, verdict.reason) == (score, reason)


def test_raw_scores_and_reasons_of_all_parts_stay_in_the_verdict() -> None:
    assert verify(compose(**SUM), "right=1 style=0.5 short=0").detail["parts"] == {
        "right": {"status": "scored", "score": 1.0, "reason": "correct", "seen": "r"},
        "style": {"status": "scored", "score": 0.5, "reason": "wrong", "seen": "r"},
        "short": {"status": "scored", "score": 0.0, "reason": "wrong", "seen": "r"},
    }


def test_weights_are_not_normalised_and_may_be_negative() -> None:
    assert verify(compose(a=part("a", weight=2), b=part("b", weight=-0.5)), "a=1 b=1").score == 1.5


GATED = {"right": part("right"), "format": part("format", gate=1.0)}


def test_a_closed_gate_scores_0_says_why_and_asks_no_other_part() -> None:
    verdict = verify(compose(**GATED), "right=1 format=0.5")
    assert (verdict.score, verdict.reason) == (0, "gate")
    assert verdict.explanation == "format: wrong (0.5, below 1)"
    assert list(verdict.detail["parts"]) == ["format"]
    assert "right: verify 1" not in LIFE


def test_an_open_gate_without_a_weight_adds_nothing() -> None:
    assert verify(compose(**GATED), "right=0.5 format=1").score == 0.5
    weighted = {"right": part("right", weight=0.9), "format": part("format", gate=1.0, weight=0.1)}
    assert verify(compose(**weighted), "right=0 format=1").score == 0.1


@pytest.mark.parametrize(
    ("text", "status", "asked"),
    [
        ("right=1 style=? short=1", Status.UNPARSEABLE, ["right", "style"]),
        ("right=1 style=! short=1", Status.INFRA_ERROR, ["right", "style"]),
        ("right=1 style=x short=1", Status.INFRA_ERROR, ["right", "style"]),
        ("right=? style=! short=1", Status.UNPARSEABLE, ["right"]),
        ("right=! style=? short=1", Status.INFRA_ERROR, ["right"]),
    ],
)
def test_a_part_that_cannot_be_verified_decides_the_whole_which_is_never_a_zero(
    text: str, status: Status, asked: list[str]
) -> None:
    verdict = verify(compose(**SUM), text)
    assert (verdict.status, verdict.score, list(verdict.detail["parts"])) == (status, None, asked)
    assert asked[-1] in verdict.explanation


def test_a_part_may_score_0_where_it_is_unparseable() -> None:
    verifier = compose(right=part("right", weight=0.8), style=part("style", weight=0.2, unparseable="zero"))
    verdict = verify(verifier, "right=1 style=?")
    assert (verdict.score, verdict.reason, verdict.was_unparseable) == (0.8, "partial", False)
    assert verdict.detail["parts"]["style"] == {"status": "unparseable", "score": None, "reason": "no_answer"}


def test_what_scores_0_only_because_it_is_unparseable_still_counts_as_that() -> None:
    verdict = verify(compose(right=part("right", unparseable="zero")), "?")
    assert (verdict.score, verdict.reason, verdict.was_unparseable) == (0, "no_answer", True)


@pytest.mark.parametrize(("unparseable", "score"), [("mask", None), ("zero", 0)])
def test_an_unparseable_gate_masks_or_is_closed(unparseable: str, score: float | None) -> None:
    verifier = compose(right=part("right"), format=part("format", gate=0.5, unparseable=unparseable))
    assert verify(verifier, "right=1 format=?").score == score


def test_parts_verify_only_their_domains_and_each_answer_keeps_its_place() -> None:
    verifier = compose(sums=part("sums", domains=["sums"]), words=part("words", domains=["words", "poems"]))
    domains = ["sums", "words", "sums", "poems"]
    answers = [Answer(Task(d, "?", d, "v", "r"), f"sums=0.{i} words=0.{i + 5}") for i, d in enumerate(domains)]
    verdicts = verifier.verify(answers)
    assert [verdict.score for verdict in verdicts] == [0, 0.6, 0.2, 0.8]
    assert [list(verdict.detail["parts"]) for verdict in verdicts] == [["sums"], ["words"], ["sums"], ["words"]]
    assert LIFE == ["sums: verify 2", "words: verify 2"]


def test_one_task_carries_references_for_several_parts() -> None:
    verifier = compose(a=part("a", answer_key="x"), b=part("b", answer_key="y"), c=part("c"))
    answer = {"x": "for a", "y": ["for b"]}
    parts = verify(verifier, "a=1 b=1 c=1", answer=answer).detail["parts"]
    assert [parts[name]["seen"] for name in "abc"] == ["for a", ["for b"], answer]


def test_compositions_nest() -> None:
    inner = {"use": "compose", "args": {"parts": {"right": part("right"), "format": part("format", gate=1)}}}
    verdict = verify(
        compose(inner={**inner, "weight": 0.5}, style=part("style", weight=0.5)), "right=1 format=1 style=0"
    )
    assert verdict.score == 0.5
    assert verdict.detail["parts"]["inner"]["parts"]["right"]["score"] == 1


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "answer", "message"),
    [
        ("d", {"b": 1}, "part 'a': task '1': answer.x: missing; it holds the reference of this part"),
        ("d", "x", "part 'a': task '1': answer.x: missing"),
        ("d", {"x": None}, "part 'a': task '1': answer: missing"),
        ("other", {"x": 1}, "task '1': domain 'other' has no part with a weight; add it to the `domains` of one"),
    ],
)
def test_a_task_that_a_part_could_never_verify_is_refused(domain: str, answer: Any, message: str) -> None:
    verifier = compose(a=part("a", answer_key="x", domains=["d"]), gate=part("gate", gate=1.0))
    verifier.check_task(Task("1", "?", "d", "v", {"x": 1}))
    with pytest.raises(UserError, match=re.escape(message)):
        verifier.check_task(Task("1", "?", domain, "v", answer))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "rewards.verifiers.mine.args.parts: "),
        ({"a": {"use": "exakt"}}, "mine.args: parts.a.use: there is no verifier 'exakt'; did you mean 'exact'?"),
        ({"a": {"use": "exact", "args": {"tagg": 1}}}, "mine.args: parts.a.args.tagg: ExactVerifier takes no such"),
        ({"a": {"use": "exact", "wieght": 1}}, "mine.args.parts.a.wieght: Extra inputs are not permitted"),
        ({"a": {"use": "exact", "weight": "1"}}, "mine.args.parts.a.weight: Input should be a valid number, not '1'"),
        ({"a": {"use": "exact", "weight": float("nan")}}, "mine.args.parts.a.weight: Input should be a finite number"),
        ({"a": {"use": "exact", "weight": 0}}, "weight 0 and no gate: the part would do nothing"),
        ({"a": {"use": "format", "gate": 1.0}}, "mine.args: parts: no part has a weight"),
        ({"a": {"use": "exact", "unparseable": "nought"}}, "parts.a.unparseable: Input should be 'mask' or 'zero'"),
    ],
)
def test_what_is_wrong_with_a_composition_is_named_by_its_key(parts: dict[str, Any], message: str) -> None:
    settings = RewardSettings.model_validate({"verifiers": {"mine": {"use": "compose", "args": {"parts": parts}}}})
    with pytest.raises(UserError, match=re.escape(message)):
        registry.build_verifiers(settings)


# --- life and contract ------------------------------------------------------------------------------------------------


def test_parts_start_and_close_with_the_whole() -> None:
    verifier = compose(a=part("a"), b=part("b"))
    verifier.start()
    verifier.close()
    assert LIFE[:2] == ["a: start", "b: start"]
    assert sorted(LIFE[2:]) == ["a: close", "b: close"]


def test_what_parts_have_to_say_is_said() -> None:
    silent = {"use": "composed_parts:Silent"}
    assert compose(a=part("a"), b={"use": "exact"}, c=silent).notes() == ["a: a is only a test"]


def test_parts_that_have_started_are_closed_if_another_cannot_start() -> None:
    with pytest.raises(RuntimeError, match="b does not start"):
        compose(a=part("a"), b=part("b", starts=False), c=part("c")).start()
    assert LIFE == ["a: start", "b: start", "b: close", "a: close"]


def test_a_gated_composition_keeps_the_contract() -> None:
    parts: dict[str, Any] = {
        "format": {"use": "format", "gate": 1.0},
        "right": {"use": "exact", "weight": 0.9},
        "small": {"use": "exact", "args": {"casefold": True}, "weight": 0.1},
    }
    task = Task("1", "?", "d", "v", "yes")
    right, wrong = (Answer(task, f"<think>hm</think><ans>{word}</ans>") for word in ("yes", "no"))
    check_contract(lambda: ComposeVerifier(parts=parts), right, wrong)
