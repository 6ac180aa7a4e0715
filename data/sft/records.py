"""What a conversation must look like: every broken one is refused with its place and what would be right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from reprise.core.errors import UserError
from reprise.core.json_lines import check_unicode, parse_line

ROLES = ("system", "user", "assistant", "tool")

# Open: chat templates read keys of their own.
Message = dict[str, Any]
ToolCall = dict[str, Any]
Tool = dict[str, object]  # a JSON schema


class Record(TypedDict):
    """A checked conversation; `untrained` are the places of assistant messages that are not trained on."""

    messages: list[Message]
    tools: NotRequired[list[Tool]]
    id: NotRequired[str]
    untrained: NotRequired[list[int]]


# How other formats call the list of messages, and a message's parts.
_OTHER_LISTS = ("conversations", "conversation", "dialogue", "turns", "prompt")
_OTHER_KEYS = {"role": ("from", "speaker", "author"), "content": ("value", "text")}
# How other formats say that a message is not trained on.
_OTHER_WEIGHTS = ("train", "trainable", "training", "train_detail", "loss", "loss_mask", "loss_weight", "masked")


def check_record(value: object, where: str, padded: bool = False) -> Record:
    """The record of a parsed value, as chat templates take it. UserError, which begins with `where`, if it is broken.

    Keys of a message whose value is null are left out, and tool calls' arguments given as JSON text become objects, as
    vLLM makes them. An assistant's message with `weight: 0` is not trained on: `untrained` has its place, and `weight`
    is left out. `padded`: the value comes from a column store, which gives every object of a list the keys of all; then
    null keys are left out at any depth.
    """
    if not isinstance(value, Mapping):
        raise UserError(f'{where}: a record is an object {{"messages": [...]}}, not {_shown(value)}')
    if padded:
        value = {key: _without_nulls(item) for key, item in value.items() if item is not None}
    messages = value.get("messages")
    if messages is None:
        other = next((key for key in _OTHER_LISTS if key in value), None)
        hint = f"; it has {other!r}: rename it" if other else ""
        raise UserError(f'{where}: messages is missing{hint}; a record is {{"messages": [{{"role", "content"}}, ...]}}')
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{where}: messages is {_shown(messages)}; it must be a list of at least one message")
    record: Record = {"messages": [_message(m, f"{where}: messages[{i}]") for i, m in enumerate(messages)]}
    trained = [_is_trained(m, f"{where}: messages[{i}]") for i, m in enumerate(record["messages"])]
    if not any(trained):
        weighted = any(m["role"] == "assistant" for m in record["messages"])
        kind = "assistant message whose weight is not 0" if weighted else "assistant message"
        raise UserError(f"{where}: messages has no {kind}, so there is nothing to learn from it")
    if untrained := [i for i, m in enumerate(record["messages"]) if m["role"] == "assistant" and not trained[i]]:
        record["untrained"] = untrained
    if value.get("tools") is not None:
        record["tools"] = _tools(value["tools"], f"{where}: tools")
    if value.get("id") is not None:
        record["id"] = str(value["id"])
    check_unicode(record, where)
    return record


def messages_digest(record: Record) -> bytes:
    """16 bytes that two records share if their messages are the same, whatever their ids and tools."""
    text = json.dumps(record["messages"], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _message(value: object, where: str) -> Message:
    if not isinstance(value, Mapping):
        raise UserError(f'{where} is {_shown(value)}; a message is {{"role": ..., "content": ...}}')
    message = {key: item for key, item in value.items() if item is not None}
    for key, others in _OTHER_KEYS.items():
        if key not in message and (other := next((o for o in others if o in message), None)):
            raise UserError(f"{where}.{key} is missing, but there is {other!r}: rename it to {key!r}")
    role = message.get("role")
    if role not in ROLES:
        given = "is missing" if role is None else f"is {_shown(role)}"
        raise UserError(f"{where}.role {given}; it must be one of {', '.join(ROLES)}")
    if "tool_calls" in message:
        if role != "assistant":
            raise UserError(f"{where}.tool_calls stands in a {role} message; only an assistant calls tools")
        message["tool_calls"] = _tool_calls(message["tool_calls"], f"{where}.tool_calls")
        if not message["tool_calls"]:
            del message["tool_calls"]
    _check_texts(message, where)
    return message


def _is_trained(message: Message, where: str) -> bool:
    """Whether the policy learns to write the message, which loses its `weight`."""
    for other in _OTHER_WEIGHTS:
        if other in message:
            raise UserError(f"{where} has {other!r}; what says whether it is trained on is weight: 0 or 1")
    weight = message.pop("weight", 1)
    if weight not in (0, 1):
        raise UserError(f"{where}.weight is {_shown(weight)}; it must be 0 (not trained on) or 1")
    return message["role"] == "assistant" and bool(weight)


def _check_texts(message: Message, where: str) -> None:
    """Content is text, and there where something has to be said or answered."""
    role, content = message["role"], message.get("content")
    if content is None and "tool_calls" in message:
        message["content"] = content = ""
    if not isinstance(content, str):
        given = "is missing" if content is None else f"is {_shown(content)}"
        parts = "; join the text parts into one" if isinstance(content, list) else ""
        raise UserError(f"{where}.content {given}; it must be text{parts}")
    if not isinstance(message.get("reasoning_content", ""), str):
        raise UserError(f"{where}.reasoning_content is {_shown(message['reasoning_content'])}; it must be text")
    says_more = "tool_calls" in message or message.get("reasoning_content")
    if not content.strip() and (role == "user" or (role == "assistant" and not says_more)):
        raise UserError(f"{where}.content is empty; {_A[role]} message must say something")


_A = {"user": "a user", "assistant": "an assistant"}


def _tool_calls(value: object, where: str) -> list[ToolCall]:
    if not isinstance(value, list):
        raise UserError(f"{where} is {_shown(value)}; it must be a list of calls")
    calls = []
    for i, given in enumerate(value):
        if not isinstance(given, Mapping):
            raise UserError(f"{where}[{i}] is {_shown(given)}; {_CALL}")
        call = {key: item for key, item in given.items() if item is not None}
        inner, inside = (call["function"], ".function") if "function" in call else (call, "")
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise UserError(f"{where}[{i}]{inside} is {_shown(inner)}; {_CALL}")
        inner = {key: item for key, item in inner.items() if item is not None}
        inner["arguments"] = _arguments(inner.get("arguments", {}), f"{where}[{i}]{inside}.arguments")
        calls.append({**call, "function": inner} if inside else inner)
    return calls


_CALL = 'a call is {"function": {"name": ..., "arguments": {...}}}'


def _arguments(value: object, where: str) -> dict[str, object]:
    parsed = _from_text(value, where)
    if not isinstance(parsed, Mapping):
        raise UserError(f"{where} is {_shown(value)}; it must be an object, or one as JSON text")
    return dict(parsed)


def _tools(value: object, where: str) -> list[Tool]:
    """Tools as JSON schemas; column stores often keep the list as JSON text, whose objects differ from one another."""
    tools = _from_text(value, where)
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise UserError(f"{where} is {_shown(value)}; it must be a list of JSON schemas, or one as JSON text")
    return [dict(tool) for tool in tools]


def _from_text(value: object, where: str) -> object:
    """The value of JSON in JSON; any other value as it is."""
    return parse_line(value, f"{where} is {_shown(value)}", "write valid JSON") if isinstance(value, str) else value


def _without_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object with the keys {', '.join(map(str, list(value)[:6])) or '(none)'}"
    return f"a {type(value).__name__}" if isinstance(value, bytes) else json.dumps(value, default=str)
