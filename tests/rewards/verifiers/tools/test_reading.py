"""What counts as a call in a text."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_tasks import JSON, ROME, block, call

from reprise.rewards.verifiers.tools.parsing import MAX_DEPTH, Call, Malformed, calls_in, find_blocks, strict_json


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
