"""Reading conversations: what is accepted, and one clear line for everything that is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reprise.core.errors import UserError
from reprise.data.sft.reading import files_of, read
from reprise.data.sft.records import Record, check_record, messages_digest
from reprise.data.sft.settings import EvalSource

USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "default": None}}}]
WITH_TOOLS = {
    "id": "r1",
    "tools": TOOLS,
    "messages": [
        {"role": "system", "content": "Use tools."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "4", "tool_call_id": "c1", "name": "add"},
        {**ANSWER, "reasoning_content": "It said 4."},
    ],
}


def chat(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def records(path: Path) -> list[Record]:
    source = EvalSource(name="s", path=str(path))
    return [record for _, record in read(source, files_of(source))]


def jsonl(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def test_a_whole_conversation_with_tools_is_kept_as_it_is() -> None:
    record = check_record({**WITH_TOOLS, "source": "somewhere"}, "here")
    assert record["tools"] == TOOLS  # a null inside a schema is a value
    assert record["id"] == "r1"
    assert record["messages"][2] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert record["messages"][3:] == WITH_TOOLS["messages"][3:]
    assert "source" not in record


def test_arguments_as_json_text_become_an_object() -> None:
    call = {"function": {"name": "add", "arguments": '{"a": 2, "b": null}'}}
    record = check_record(chat(USER, {"role": "assistant", "content": "", "tool_calls": [call]}), "here")
    assert record["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 2, "b": None}


def test_padding_nulls_are_left_out() -> None:
    padded = chat({**USER, "tool_calls": None, "name": None}, {**ANSWER, "tool_calls": [], "reasoning_content": None})
    assert check_record(padded, "here") == chat(USER, ANSWER)
    deep = {"function": {"name": "add", "arguments": {"a": 2, "b": None}}}
    record = chat(USER, {"role": "assistant", "content": "", "tool_calls": [deep]})
    assert check_record(record, "", padded=True)["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 2}
    assert check_record(record, "")["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 2, "b": None}


def test_the_digest_is_of_the_messages_alone() -> None:
    one, two = (check_record({**chat(USER, ANSWER), "id": i}, "") for i in "ab")
    assert messages_digest(one) == messages_digest(two)
    assert messages_digest(one) != messages_digest(check_record(chat(USER, {**ANSWER, "content": "5"}), ""))


def assistant(**keys: Any) -> dict[str, Any]:
    return chat(USER, {"role": "assistant", **keys})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], 'a record is an object {"messages": [...]}, not a list of 0'),
        ({}, 'messages is missing; a record is {"messages": [{"role", "content"}, ...]}'),
        ({"conversations": []}, "messages is missing; it has 'conversations': rename it"),
        ({"messages": "hi"}, "messages is the text 'hi'; it must be a list of at least one message"),
        (chat(), "messages is a list of 0; it must be a list of at least one message"),
        (chat("hi"), """messages[0] is the text 'hi'; a message is {"role": ..., "content": ...}"""),
        (
            chat({"from": "human", "value": "x"}),
            "messages[0].role is missing, but there is 'from': rename it to 'role'",
        ),
        (chat({"role": "user", "value": "x"}), "messages[0].content is missing, but there is 'value': rename it"),
        (chat({"content": "x"}), "messages[0].role is missing; it must be one of system, user, assistant, tool"),
        (
            chat({"role": "human", "content": "x"}),
            "messages[0].role is the text 'human'; it must be one of system, user",
        ),
        (chat({"role": 3, "content": "x"}), "messages[0].role is 3; it must be one of"),
        (chat({"role": "user"}), "messages[0].content is missing; it must be text"),
        (chat({"role": "user", "content": 7}), "messages[0].content is 7; it must be text"),
        (
            chat({"role": "user", "content": [{"type": "text", "text": "x"}]}),
            "messages[0].content is a list of 1; it must be text; join the text parts into one",
        ),
        (chat({"role": "user", "content": " \n"}, ANSWER), "messages[0].content is empty; a user message must say"),
        (assistant(content=""), "messages[1].content is empty; an assistant message must say something"),
        (assistant(content=None), "messages[1].content is missing; it must be text"),
        (chat(USER), "messages has no assistant message, so there is nothing to learn from it"),
        (
            assistant(content="4", reasoning_content=[1]),
            "messages[1].reasoning_content is a list of 1; it must be text",
        ),
        (chat({**USER, "tool_calls": [CALL]}), "messages[0].tool_calls stands in a user message; only an assistant"),
        (assistant(tool_calls="add"), "messages[1].tool_calls is the text 'add'; it must be a list of calls"),
        (assistant(tool_calls=["add"]), "messages[1].tool_calls[0] is the text 'add'; a call is"),
        (
            assistant(tool_calls=[{"function": {"arguments": {}}}]),
            "messages[1].tool_calls[0].function is an object with the keys arguments; a call is",
        ),
        (
            assistant(tool_calls=[{"function": {"name": "f", "arguments": "{"}}]),
            "messages[1].tool_calls[0].function.arguments is the text '{': not valid JSON",
        ),
        (
            assistant(tool_calls=[{"name": "f", "arguments": "[1]"}]),
            "arguments is the text '[1]'; it must be an object",
        ),
        ({**chat(USER, ANSWER), "tools": "["}, "tools is the text '[': not valid JSON"),
        ({**chat(USER, ANSWER), "tools": {"a": 1}}, "tools is an object with the keys a; it must be a list of JSON"),
    ],
)
def test_a_broken_record_is_refused_in_one_line_that_says_what_would_be_right(value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_record(value, "chats.jsonl:7")
    text = str(caught.value)
    assert text.startswith("chats.jsonl:7: ")
    assert message in text
    assert "\n" not in text


def test_jsonl_and_parquet_give_the_same_records(tmp_path: Path) -> None:
    values = [WITH_TOOLS | {"tools": json.dumps(TOOLS)}, chat(USER, ANSWER), chat(USER, {**ANSWER, "name": "bot"})]
    pq.write_table(pa.Table.from_pylist(values), tmp_path / "rows.parquet")
    assert records(tmp_path / "rows.parquet") == records(jsonl(tmp_path / "lines.jsonl", *values))


def test_parquet_written_by_hf_datasets_is_read_with_its_own_column_types(tmp_path: Path) -> None:
    """Tool calls whose arguments differ go into a JSON column, which plain Parquet readers give as text."""
    calls = [{"function": {"name": n, "arguments": a}} for n, a in (("add", {"a": 1}), ("say", {"text": ["x", None]}))]
    values = [chat(USER, {"role": "assistant", "content": "", "tool_calls": [call]}) for call in calls]
    lines = jsonl(tmp_path / "lines.jsonl", *values)
    features = datasets.Features({"messages": datasets.Json()})
    datasets.Dataset.from_list(values, features=features).to_parquet(tmp_path / "rows.parquet")
    assert records(tmp_path / "rows.parquet") == records(lines)


def test_a_data_set_saved_to_disk_is_read_and_what_was_cached_beside_it_is_not(tmp_path: Path) -> None:
    saved = datasets.Dataset.from_list([chat({**USER, "content": c}, ANSWER) for c in "abc"])
    saved.save_to_disk(tmp_path / "saved", num_shards=2)
    datasets.load_from_disk(tmp_path / "saved").map(lambda row: row, load_from_cache_file=False)
    assert list((tmp_path / "saved").glob("cache-*"))
    assert [r["messages"][0]["content"] for r in records(tmp_path / "saved")] == ["a", "b", "c"]


def test_shards_of_a_folder_or_a_pattern_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        jsonl(tmp_path / f"{name}.jsonl", chat({"role": "user", "content": name}, ANSWER))
    (tmp_path / "README.md").write_text("not data")
    for path in (tmp_path, tmp_path / "*.jsonl"):
        assert [r["messages"][0]["content"] for r in records(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"messages": [', r"chats.jsonl:3: not valid JSON \(.*column \d+\); write one object a line"),
        (b"\xff{}", r"chats.jsonl:3: not UTF-8 \(byte 0 of the line\)"),
        (b'"hi"', r"chats.jsonl:3: a record is an object"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', r"chats.jsonl:3: messages has no assistant message"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path: Path, line: bytes, message: str) -> None:
    path = jsonl(tmp_path / "chats.jsonl", chat(USER, ANSWER))
    path.write_bytes(path.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(UserError, match=message):
        records(path)


def test_a_json_list_is_no_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([chat(USER, ANSWER)], indent=1))
    with pytest.raises(UserError, match=r"a.json:1: the file is a list over several lines: jq"):
        records(tmp_path / "a.json")


def test_a_broken_row_of_a_shard_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([chat(USER, ANSWER)]), tmp_path / "0.parquet")
    pq.write_table(pa.Table.from_pylist([chat(USER, ANSWER), chat(USER)]), tmp_path / "1.parquet")
    with pytest.raises(UserError, match=r"1.parquet, row 2: messages has no assistant message"):
        records(tmp_path)


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(UserError, match=r"a.parquet: not a parquet file that can be read"):
        records(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "no such file or folder"),
        ("empty", "the folder .* holds no .jsonl"),
        ("a.csv", "ends in none of"),
    ],
)
def test_a_path_that_leads_to_no_records_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(UserError, match=f"source s: .*{message}"):
        records(tmp_path / name)


def some(count: int) -> Iterator[Any]:
    yield from [chat(USER, ANSWER)] * count
    yield chat(USER)


def test_a_generators_records_are_checked_too() -> None:
    source = EvalSource(name="s", generator=f"{__name__}:some", args={"count": 2})
    with pytest.raises(UserError, match=r"test_sft_records:some\({'count': 2}\), record 3: messages has no assistant"):
        list(read(source, files_of(source)))
    wrong = EvalSource(name="s", generator=f"{__name__}:some", args={"size": 2})
    with pytest.raises(UserError, match=r"source s: .* unexpected keyword argument 'size'"):
        list(read(wrong, []))
    with pytest.raises(UserError, match="generator of source s"):
        list(read(EvalSource(name="s", generator=f"{__name__}:none"), []))
