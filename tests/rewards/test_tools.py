"""The tool-call verifier: what counts as a call, as a right call, and as a task that cannot be judged."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer.errors import UserError
from buffer.types import Status, Task, Verdict
from rewards.base import Answer
from rewards.contract import check_contract
from rewards.tools.matching import Expected, mismatch
from rewards.tools.parsing import MAX_DEPTH, Call, Malformed, calls_in, find_blocks, strict_json
from rewards.tools.reference import reference_of
from rewards.tools.schemas import problem
from rewards.tools.verifier import ToolsVerifier
from rewards.tools.worker import handle
from rewards.worker_requests import pack

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": "integer"},
                "radius": {"type": "number"},
            },
            "required": ["city"],
        },
    },
}
ADD = {
    "name": "add",
    "parameters": {
        "type": "object",
        "properties": {"xs": {"type": "array", "items": {"type": "number"}}, "exact": {"type": "boolean"}},
    },
}
NOW = {"name": "now", "description": "The time; takes nothing."}


def task(*calls: Any, **more: Any) -> Task:
    return Task("t1", "?", "tools", "tools", {"schemas": [WEATHER, ADD, NOW], "calls": list(calls), **more})


def call(name: str, arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments or {}, **more}


def block(*calls: Any) -> str:
    return "".join(f"<tool_call>\n{json.dumps(each)}\n</tool_call>\n" for each in calls)


def wrong(expected: list[dict[str, Any]], made: list[dict[str, Any]], **settings: Any) -> str:
    """What the worker finds wrong with calls; empty if nothing."""
    reference = reference_of(task(*expected))
    asked = {"functions": reference.functions, "expected": [], "given": made, "ordered": False, "strings": "exact"}
    asked["expected"] = [
        {"name": each.name, "arguments": each.arguments, "accept": each.accept, "optional": each.optional}
        for each in reference.calls
    ]
    return handle(pack({**asked, **settings}))


ROME = call("weather", {"city": "Rome"})


# Reading calls


def read(text: str, tag: str = "tool_call") -> list[Call]:
    return calls_in(find_blocks(text, tag), tag)


def test_one_call_several_and_a_list_of_calls_are_read_in_order() -> None:
    a, b, c = (call("f", {"x": n}) for n in range(3))
    assert read(f"First {block(a)} then {block([b, c])} done.") == [Call(**each) for each in (a, b, c)]
    assert read(f"<call>{json.dumps(a)}</call>{block(b)}", tag="call") == [Call(**a)]
    assert read("Nothing to call.") == []
    assert read(block([])) == []


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not JSON"),
        ("{'name': 'f', 'arguments': {}}", "not JSON"),
        ('{"name": "f", "arguments": {}} and so on', "not JSON: Extra data"),
        ('{"name": "f", "arguments": {}}{"name": "f", "arguments": {}}', "not JSON: Extra data"),
        ('{"name": "f", "arguments": {},}', "not JSON"),
        ('```json\n{"name": "f", "arguments": {}}\n```', "not JSON"),
        ('{"name": "f", "name": "g", "arguments": {}}', "the key 'name' occurs twice"),
        ('{"name": "f", "arguments": {"x": 1, "x": 1}}', "the key 'x' occurs twice"),
        ('{"name": "f", "arguments": {"x": NaN}}', "NaN is not JSON"),
        ('{"name": "f", "arguments": {"x": -Infinity}}', "-Infinity is not JSON"),
        ('{"name": "f", "arguments": {"x": 1e999}}', "1e999 is too large"),
        ('{"name": "f", "arguments": {"x": 1' + "0" * 400 + "}}", "is too large"),
        ('{"name": "f", "arguments": {"x": 1' + "0" * 9000 + "}}", "is too large"),
        ('{"name": "f", "arguments": {"x": ' + "[" * 40 + "]" * 40 + "}}", "levels deep"),
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 50_000, "levels deep"),
        ('{"name": "f", "arguments": {"x": "a\nb"}}', "not JSON: Invalid control character"),
        ('{"name": "f"}', "a call is an object with"),
        ('{"name": "f", "arguments": {}, "id": 1}', "a call is an object with"),
        ('{"name": "f", "arguments": "{}"}', "arguments are an object"),
        ('{"name": 5, "arguments": {}}', "the name of a call is a string"),
        ('[[{"name": "f", "arguments": {}}]]', "a call is an object with"),
        ("null", "a call is an object with"),
        ('<tool_call>{"name": "f", "arguments": {}}', "not JSON"),
    ],
)
def test_a_block_that_is_no_call_is_malformed(content: str, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        read(f"{block(ROME)}<tool_call>{content}</tool_call>")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (block(ROME) + "<tool_call>", "<tool_call> is not closed"),
        (block(ROME) + "</tool_call>", "</tool_call> closes nothing"),
        ("</tool_call>", "</tool_call> closes nothing"),
    ],
)
def test_tags_that_do_not_match_are_malformed(text: str, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        read(text)


def test_the_deepest_value_that_is_read() -> None:
    assert strict_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(Malformed):
        strict_json("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.builds(Call, st.text(), st.dictionaries(st.text(), JSON, max_size=3)), max_size=4))
def test_calls_are_read_as_they_were_written(calls: list[Call]) -> None:
    written = [{"name": each.name, "arguments": each.arguments} for each in calls]
    text = block(*written)
    if text.count("</tool_call>") == len(calls):  # no string holds the closing tag
        assert read(text) == calls


@given(st.text(alphabet='<tool_call>/{}[]":,01eEnN \\u"', max_size=200))
def test_no_text_raises_anything_but_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        read(f"<tool_call>{text}</tool_call>")


# Comparing calls


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        (call("weather", {"city": "Rome", "radius": 5}), call("weather", {"city": "Rome", "radius": 5.0})),
        (call("weather", {"city": "Rome"}), call("weather", {"city": "Rome", "unit": "C"})),
        (call("weather", {"city": "Rome", "unit": "C"}), call("weather", {"city": "Rome"})),
        (call("weather", {"city": "Rome", "unit": "F"}, optional=["unit"]), call("weather", {"city": "Rome"})),
        (call("weather", {}, accept={"city": ["NYC", "New York"]}), call("weather", {"city": "New York"})),
        (call("weather", {"city": "NYC"}, accept={"city": ["New York"]}), call("weather", {"city": "NYC"})),
        (call("weather", {"city": "NYC"}, accept={"city": ["New York"]}), call("weather", {"city": "New York"})),
        (call("add", {"xs": [1, 2]}), call("add", {"xs": [1.0, 2]})),
        (call("now"), call("now")),
    ],
)
def test_a_call_that_means_the_same_is_right(expected: dict[str, Any], made: dict[str, Any]) -> None:
    assert wrong([expected], [made]) == ""


@pytest.mark.parametrize(
    ("expected", "made", "what"),
    [
        (ROME, call("weather", {"city": "rome"}), "argument 'city': 'rome'"),
        (ROME, call("weather", {"city": "Rome", "unit": "F"}), "argument 'unit': is not expected and not its default"),
        (ROME, call("weather", {"city": "Rome", "days": 1}), "argument 'days': is not expected"),
        (call("weather", {"city": "Rome", "days": 1}), ROME, "argument 'days' is missing"),
        (call("weather", {"city": "Rome", "unit": "F"}), ROME, "argument 'unit' is missing"),
        (ROME, call("weather"), "'city' is a required property"),
        (ROME, call("weather", {"city": 5}), r"\['city'\] 5 is not of type 'string'"),
        (call("weather", {"city": "5"}), call("weather", {"city": 5}), "is not of type 'string'"),
        (ROME, call("weather", {"city": "Rome", "unit": "K"}), "is not one of"),
        (
            call("weather", {"city": "Rome", "days": 5}),
            call("weather", {"city": "Rome", "days": 5.0}),
            "argument 'days'",
        ),
        (call("weather", {"city": "Rome", "days": 1}), call("weather", {"city": "Rome", "days": True}), "'integer'"),
        (call("add", {"xs": [1, 2]}), call("add", {"xs": [2, 1]}), "argument 'xs'"),
        (call("add", {"xs": [1, 2]}), call("add", {"xs": [1]}), "argument 'xs'"),
        (call("now"), call("now", {"zone": "CET"}), "Additional properties are not allowed"),
        (ROME, call("now"), "'now' where 'weather' is expected|is expected less often"),
        (call("weather", {}, accept={"city": ["NYC", "New York"]}), call("weather", {"city": ["NYC"]}), "'string'"),
    ],
)
def test_a_call_that_means_something_else_is_wrong(expected: dict[str, Any], made: dict[str, Any], what: str) -> None:
    assert re.search(what, wrong([expected], [made]))


FREE = {"type": "object"}


@pytest.mark.parametrize(
    ("expected", "made", "equal"),
    [
        (1, True, False),
        (0, False, False),
        (1, 1.0, False),
        ("5", 5, False),
        (None, False, False),
        (None, None, True),
        ([], {}, False),
        ({"a": 1, "b": [True]}, {"b": [True], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (0.1, 0.1000, True),
        (2**60, 2**60 + 1, False),
    ],
)
def test_values_are_compared_by_type(expected: Any, made: Any, equal: bool) -> None:
    found = mismatch([Expected("f", {"x": expected})], [Call("f", {"x": made})], {"f": FREE}, False, "exact")
    assert (found == "") is equal


NESTED = {
    "type": "object",
    "properties": {
        "route": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"$ref": "#/$defs/point"}},
        "n": {"anyOf": [{"type": ["number", "null"]}, {"type": "string"}]},
    },
    "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}, "n": {"type": "integer"}}}},
}


@pytest.mark.parametrize(
    ("expected", "made", "equal"),
    [
        ({"route": ["a", {"x": 1}]}, {"route": ["a", {"x": 1.0}]}, True),
        ({"route": ["a", {"n": 1}]}, {"route": ["a", {"n": 1.0}]}, False),
        ({"n": 1}, {"n": 1.0}, True),
    ],
)
def test_whether_5_is_5_0_is_looked_up_at_the_place_in_the_schema(
    expected: dict[str, Any], made: dict[str, Any], equal: bool
) -> None:
    assert (mismatch([Expected("f", expected)], [Call("f", made)], {"f": NESTED}, False, "exact") == "") is equal


def test_strings_compare_as_bfcl_does_only_if_asked() -> None:
    expected, made = call("weather", {"city": "New York, U.S."}), call("weather", {"city": "new-york us"})
    assert wrong([expected], [made]) != ""
    assert wrong([expected], [made], strings="bfcl") == ""
    assert wrong([expected], [call("weather", {"city": "new york uk"})], strings="bfcl") != ""


def test_parallel_calls_may_come_in_any_order_unless_an_order_is_asked_for() -> None:
    oslo = call("weather", {"city": "Oslo"})
    assert wrong([ROME, oslo, call("now")], [call("now"), oslo, ROME]) == ""
    assert wrong([ROME, oslo], [oslo, ROME], ordered=True) == "call 0: argument 'city': 'Oslo'"
    assert wrong([ROME, oslo], [ROME, oslo], ordered=True) == ""
    assert wrong([ROME, oslo], [ROME, ROME]) == "call 1: argument 'city': 'Rome'"
    assert wrong([ROME, ROME], [ROME, ROME]) == ""


def test_calls_are_paired_so_that_as_many_as_possible_are_right() -> None:
    either = call("weather", {}, accept={"city": ["Rome", "Oslo"]})
    assert wrong([either, ROME], [ROME, call("weather", {"city": "Oslo"})]) == ""
    assert wrong([ROME, either], [call("weather", {"city": "Oslo"}), ROME]) == ""


@given(st.data())
def test_any_order_of_any_calls_is_right_and_one_call_changed_is_not(data: st.DataObject) -> None:
    arguments = st.fixed_dictionaries({"x": JSON}, optional={"y": JSON})
    calls = data.draw(st.lists(st.builds(Call, st.sampled_from("fg"), arguments), min_size=1, max_size=4))
    shuffled = data.draw(st.permutations(calls))
    functions = {"f": FREE, "g": FREE}
    expected = [Expected(each.name, each.arguments) for each in calls]
    assert mismatch(expected, shuffled, functions, False, "exact") == ""
    changed = [*shuffled[:-1], Call(shuffled[-1].name, {**shuffled[-1].arguments, "x": [shuffled[-1].arguments["x"]]})]
    assert mismatch(expected, changed, functions, False, "exact") != ""


# Tasks that cannot be judged


def schema(parameters: Any) -> dict[str, Any]:
    return {"schemas": [{"name": "f", "parameters": parameters}], "calls": []}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "answer must be such as"),
        ({"schemas": [ADD]}, "answer must be such as"),
        ({"schemas": [], "calls": []}, "answer.schemas must be a list of function schemas"),
        ({"schemas": [ADD], "calls": [], "order": True}, r"answer.order: unknown \(did you mean 'ordered'\?\)"),
        ({"schemas": [ADD], "calls": [], "strings": "loose"}, "answer.strings must be one of exact, bfcl"),
        ({"schemas": [ADD], "calls": [], "ordered": 1}, "answer.ordered must be true or false"),
        ({"schemas": [ADD, WEATHER, ADD], "calls": []}, r"answer.schemas\[2\].name: 'add' is there twice"),
        ({"schemas": [{"type": "function", "function": {}}], "calls": []}, r"answer.schemas\[0\].function must be an"),
        (schema({"type": "dict"}), r"schemas\[0\].parameters.type: .*\(did you mean 'object'\?\)"),
        (schema({"properties": {"a": {"type": "float"}}}), r"parameters.properties.a.type: .*did you mean 'number'"),
        (schema({"type": "string"}), r"parameters.type: arguments are an object"),
        (schema({"properties": {"a": {"pattern": "("}}}), r"parameters.properties.a.pattern: .*regex"),
        (schema([]), r"parameters must be a JSON Schema"),
        (schema({"$schema": "http://example.org/mine"}), r"parameters.\$schema: unknown dialect"),
        (schema({"properties": {"a": {"$ref": "http://127.0.0.1/x"}}}), "leads out of the schema"),
        (schema({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "leads out of the schema"),
        (schema({"properties": {"a": {"$ref": "other.json"}}}), "leads out of the schema"),
        (schema({"properties": {"a": {"$ref": "#/$defs/a"}}}), "leads nowhere"),
        ({**schema({"$ref": "#"}), "calls": [call("f")]}, "a schema refers to itself"),
        ({"schemas": [ADD], "calls": [call("ad")]}, r"calls\[0\].name: 'ad' is not among .*did you mean 'add'"),
        ({"schemas": [ADD], "calls": [{"name": "add"}]}, r"calls\[0\].arguments: missing"),
        ({"schemas": [ADD], "calls": ["add"]}, r"calls\[0\] must be an object"),
        ({"schemas": [ADD], "calls": [call("add", args=1)]}, r"calls\[0\].args: unknown"),
        ({"schemas": [WEATHER], "calls": [call("weather")]}, r"calls\[0\].arguments: does not satisfy .*'city' is a"),
        ({"schemas": [WEATHER], "calls": [call("weather", {"city": 1})]}, r"\['city'\] 1 is not of type 'string'"),
        ({"schemas": [WEATHER], "calls": [call("weather", accept={"city": ["a", 1]})]}, r"accept.city\[1\]: does not"),
        ({"schemas": [WEATHER], "calls": [call("weather", accept={"city": []})]}, "accept must hold a list of values"),
        ({"schemas": [WEATHER], "calls": [{**ROME, "optional": ["city"]}]}, r"optional \(city\): does not satisfy"),
        (
            {"schemas": [WEATHER], "calls": [{**ROME, "optional": ["unit"]}]},
            "optional must be a list of this call's own",
        ),
        ({"schemas": [ADD], "calls": [call("add", {"xs": [float("nan")]})]}, "not JSON compliant"),
        ({"schemas": [ADD], "calls": [call("add")] * 65}, "65 calls, more than 64"),
    ],
)
def test_a_task_that_cannot_be_judged_is_refused(reference: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"task 't1': .*{message}"):
        ToolsVerifier().check_task(Task("t1", "?", "tools", "tools", reference))


def test_a_task_too_large_for_a_worker_is_refused() -> None:
    draw = random.Random(1)
    noise = {f"p{n}": {"type": "string", "description": str(draw.getrandbits(64))} for n in range(4000)}
    with pytest.raises(UserError, match="bytes when packed, more than 30000"):
        ToolsVerifier().check_task(Task("t1", "?", "tools", "tools", schema({"type": "object", "properties": noise})))


def test_a_task_with_every_extra_is_accepted() -> None:
    both = call("weather", {"city": "NYC", "days": 2}, accept={"city": ["New York"]}, optional=["days"])
    reference = reference_of(task(both, call("now"), ordered=True, strings="bfcl"))
    assert (reference.ordered, reference.strings, len(reference.functions)) == (True, "bfcl", 3)


def test_no_reference_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(Exception, match="Unresolvable"):
        problem({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, {"a": 1})


@pytest.mark.parametrize("args", [{"tag": "a b"}, {"tag": ""}, {"strings": "loose"}, {"ordered": 1}, {"max_chars": 0}])
def test_bad_arguments_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(args))):
        ToolsVerifier(**args)


# Verdicts


def judge(text: str, *calls: Any, truncated: bool = False, **more: Any) -> Verdict:
    """A verdict that needs no worker."""
    verifier = ToolsVerifier()
    [verdict] = verifier.judge([Answer(task(*calls, **more), text, truncated)])
    assert verifier.pool.pids == []
    return verdict


def test_the_expected_calls_as_they_stand_need_no_worker() -> None:
    assert judge(f"<think>{block(call('now'))}</think> Let me see. {block(ROME)}", ROME) == Verdict.scored(1, "correct")


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
    verdict = judge(text, ROME)
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
    verdict = judge(text, ROME, truncated=truncated)
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
        ("<think>hm", False, None),
        ("I cannot look th", True, None),
    ],
)
def test_no_call_is_right_where_none_is_expected(text: str, truncated: bool, score: float | None) -> None:
    assert judge(text, truncated=truncated).score == score


def test_calls_too_random_for_a_request_score_0_without_a_worker() -> None:
    noise = "".join(chr(0x1F000 + (n * 7919 * n) % 65_536) for n in range(19_000))
    verdict = judge(f'<tool_call>{{"name": "weather", "arguments": {{"city": "{noise}"}}}}</tool_call>', ROME)
    assert (verdict.score, verdict.reason) == (0.0, "output_limit")


@pytest.fixture(scope="module")
def verifier() -> Iterator[ToolsVerifier]:
    made = ToolsVerifier(processes=2, cpu_s=1.0)
    made.start()
    yield made
    made.close()


@pytest.mark.slow
def test_calls_are_judged_by_schema_and_expectation_in_order_of_the_answers(verifier: ToolsVerifier) -> None:
    texts = [
        call("weather", {"city": "Rome", "unit": "C"}),
        call("weather", {"city": 1}),
        call("weather", {"city": "R"}),
    ]
    verdicts = verifier.judge([Answer(task(ROME), block(text)) for text in [*texts, texts[0]]])
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
        [verdict] = made.judge(
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
    [bad, good] = verifier.judge([Answer(asked, block(call("f", {"x": each}))) for each in (bomb, right)])
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
    [verdict] = verifier.judge([Answer(reference(lists, {"x": []}), block(call("f", {"x": deep})))])
    assert (verdict.score, verdict.reason) == (0.0, "wrong")


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
