"""The tool-call verifier's verdicts, the worker's included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tool_tasks import ROME, block, call, schema, task

from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.verifiers.tools.verifier import ToolsVerifier


def verify(text: str, *calls: Any, truncated: bool = False, **more: Any) -> Verdict:
    """A verdict that needs no worker."""
    verifier = ToolsVerifier()
    [verdict] = verifier.verify([Answer(task(*calls, **more), text, truncated)])
    assert verifier.pool.pids == []
    return verdict


def test_the_expected_calls_as_they_stand_need_no_worker() -> None:
    assert verify(f"<think>{block(call('now'))}</think> Let me see. {block(ROME)}", ROME) == Verdict.scored(
        1, "correct"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (block(ROME) + block(ROME), "wrong"),
        (block([]), "wrong"),
        (block(call("weathr", {"city": "Rome"})), "wrong"),
        (block(ROME) + "<tool_call>{}</tool_call>", "malformed"),
        (block(ROME) + "<tool_call>", "malformed"),
        ("x" * 20_001, "output_limit"),
    ],
)
def test_what_is_plainly_not_right_scores_0_without_a_worker(text: str, reason: str) -> None:
    verdict = verify(text, ROME)
    assert (verdict.score, verdict.reason) == (0.0, reason)
    assert verdict.explanation


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("", False),
        ("It is sunny in Rome.", False),
        (json.dumps(ROME), False),
        (f"<think>{block(ROME)}", False),
        (f"<think>{block(ROME)}</think> It is sunny.", False),
        ("<tool_call>" + json.dumps(ROME), True),
        (block(ROME) + "<tool_call>", True),
    ],
)
def test_an_answer_without_a_call_is_unparseable(text: str, truncated: bool) -> None:
    verdict = verify(text, ROME, truncated=truncated)
    assert (verdict.status, verdict.reason) == (Status.UNPARSEABLE, "no_answer")


@pytest.mark.parametrize(
    ("text", "truncated", "score"),
    [
        ("I cannot look that up.", False, 1.0),
        (block([]), False, 1.0),
        (block(ROME), False, 0.0),
        ("<tool_call>{", False, 0.0),
        ("</tool_call>", False, 0.0),
        ("", False, None),
        *(
            (nothing, False, None)
            for nothing in ("\u200b", "\ufeff\u2060 \n", "\ufe0f", "\0\x01", "\u2800", "\U000e0041")
        ),
        ("<think>hm", False, None),
        ("I cannot look th", True, None),
    ],
)
def test_no_call_is_right_where_none_is_expected(text: str, truncated: bool, score: float | None) -> None:
    assert verify(text, truncated=truncated).score == score


def test_calls_too_random_for_a_request_score_0_without_a_worker() -> None:
    noise = "".join(chr(0x1F000 + (n * 7919 * n) % 65_536) for n in range(19_000))
    verdict = verify(f'<tool_call>{{"name": "weather", "arguments": {{"city": "{noise}"}}}}</tool_call>', ROME)
    assert (verdict.score, verdict.reason) == (0.0, "output_limit")


@pytest.fixture(scope="module")
def verifier() -> Iterator[ToolsVerifier]:
    made = ToolsVerifier(processes=2, cpu_s=1.0)
    made.start()
    yield made
    made.close()


@pytest.mark.slow
def test_calls_are_verified_by_schema_and_expectation_in_order_of_the_answers(verifier: ToolsVerifier) -> None:
    texts = [
        call("weather", {"city": "Rome", "unit": "C"}),
        call("weather", {"city": 1}),
        call("weather", {"city": "R"}),
    ]
    verdicts = verifier.verify([Answer(task(ROME), block(text)) for text in [*texts, texts[0]]])
    assert [verdict.score for verdict in verdicts] == [1, 0, 0, 1]
    assert (
        verdicts[1].explanation
        == "call 0: does not satisfy the schema of 'weather': ['city'] 1 is not of type 'string'"
    )
    assert verdicts[2].explanation == "call 0: argument 'city': 'R'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "own", "score"),
    [
        ({}, {}, 0),
        ({"strings": "bfcl"}, {}, 1),
        ({}, {"strings": "bfcl"}, 1),
        ({"strings": "bfcl"}, {"strings": "exact"}, 0),
        ({"strings": "bfcl"}, {"ordered": True}, 0),
        ({"strings": "bfcl", "ordered": True}, {"ordered": False}, 1),
    ],
)
def test_a_tasks_own_rules_win_over_the_recipes(recipe: dict[str, Any], own: dict[str, Any], score: int) -> None:
    made = ToolsVerifier(processes=1, **recipe)
    try:
        [verdict] = made.verify(
            [Answer(task(ROME, call("now"), **own), block(call("now"), call("weather", {"city": "rome"})))]
        )
    finally:
        made.close()
    assert verdict.score == score


def reference(parameters: dict[str, Any], expected: dict[str, Any]) -> Task:
    return Task("t1", "?", "tools", "tools", {**schema(parameters), "calls": [call("f", expected)]})


EXPLOSIVE = {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}
TREE = {
    "type": "object",
    "properties": {"x": {"$ref": "#/$defs/tree"}},
    "$defs": {
        "tree": {
            "anyOf": [
                {"type": "integer"},
                {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/tree"}},
                {"type": "array", "maxItems": 9, "items": {"$ref": "#/$defs/tree"}},
            ]
        }
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "bomb"),
    [(EXPLOSIVE, "a" * 60 + "!"), (TREE, json.loads("[" * 28 + '"leaf"' + "]" * 28))],
    ids=["pattern", "recursive schema"],
)
def test_arguments_that_hang_the_check_score_0_for_timeout(
    verifier: ToolsVerifier, parameters: dict[str, Any], bomb: Any
) -> None:
    right = "a" if parameters is EXPLOSIVE else [1]
    asked = reference(parameters, {"x": right})
    [bad, good] = verifier.verify([Answer(asked, block(call("f", {"x": each}))) for each in (bomb, right)])
    assert (bad.score, bad.reason) == (0.0, "timeout")
    assert good.score == 1


@pytest.mark.slow
def test_a_deep_argument_for_a_recursive_schema_is_only_wrong(verifier: ToolsVerifier) -> None:
    lists = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/l"}},
        "$defs": {"l": {"items": {"$ref": "#/$defs/l"}}},
    }
    deep = json.loads("[" * 29 + "]" * 29)
    [verdict] = verifier.verify([Answer(reference(lists, {"x": []}), block(call("f", {"x": deep})))])
    assert (verdict.score, verdict.reason) == (0.0, "wrong")


def hostile() -> list[str]:
    deep = "[" * 60 + "]" * 60
    return [
        "\0\x1b[2J\u202e",
        "\ud800\udfff",
        "<tool_call>" * 1800,
        "</tool_call>" * 1600,
        "<tool_call>" + "[" * 19_000 + "</tool_call>",
        f'<tool_call>{{"name": "weather", "arguments": {{"city": {deep}}}}}</tool_call>',
        *(
            f'<tool_call>{{"name": "weather", "arguments": {{"city": {value}}}}}</tool_call>'
            for value in (
                "9" * 5000,
                "-1e999",
                "1e-400",
                "NaN",
                '"' + "\\ud800" * 100 + '"',
                '"' + "é漢😀" * 500 + '"',
                '"\\u0000"',
                '{"' + "k" * 9000 + '": 1}',
                "[" + "{}," * 3000 + "{}]",
                "true",
            )
        ),
        '<tool_call>{"name": "weather", "arguments": {"' + "\\n" * 5000 + '": 1}}</tool_call>',
        '<tool_call>{"name": "' + "w" * 15_000 + '", "arguments": {}}</tool_call>',
        "<tool_call>null</tool_call>",
        '<tool_call>{"name": "weather", "arguments": {"__proto__": 1, "city": "Rome"}}</tool_call>',
    ]


@pytest.mark.slow
@pytest.mark.parametrize("strings", ["exact", "bfcl"])
def test_no_hostile_answer_is_an_infra_error_or_right_or_long_winded(verifier: ToolsVerifier, strings: str) -> None:
    verdicts = verifier.verify([Answer(task(ROME, strings=strings), text) for text in hostile()])
    assert {verdict.status for verdict in verdicts} <= {Status.SCORED, Status.UNPARSEABLE}
    assert [verdict.score or 0 for verdict in verdicts] == [0] * len(verdicts)
    assert all(len(verdict.explanation) <= 600 and verdict.explanation.isprintable() for verdict in verdicts)


@pytest.mark.slow
def test_the_tool_call_verifier_keeps_the_contract() -> None:
    right, bad = call("weather", {"city": "Rome", "unit": "C"}), call("weather", {"city": "Rome", "unit": "F"})
    check_contract(
        lambda: ToolsVerifier(processes=1, cpu_s=2.0), Answer(task(ROME), block(right)), Answer(task(ROME), block(bad))
    )
    check_contract(
        lambda: ToolsVerifier(processes=1, tag="answer"),
        Answer(task(ROME), f"<answer>{json.dumps(right)}</answer>"),
        Answer(task(ROME), f"<answer>{json.dumps(bad)}</answer>"),
    )
