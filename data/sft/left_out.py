"""What a chat template leaves out of a conversation without a word: then the policy would not learn what was said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from reprise.data.sft.records import Message, Record, Tool, ToolCall

# Text that no template takes apart, cuts or writes itself.
_MARK = "zq{}x{}qz"

Render = Callable[[list[Message], list[Tool] | None], str]


def structure(record: Record) -> tuple[object, ...]:
    """What decides whether anything is left out: which parts messages have, whatever they say."""
    return (
        bool(record.get("tools")),
        tuple(record.get("untrained", ())),
        *((m["role"], *(part for part, _ in _parts(m, i))) for i, m in enumerate(record["messages"])),
    )


def left_out(messages: list[Message], tools: list[Tool] | None, trained: Collection[int], render: Render) -> str:
    """The first part of a conversation that its rendering has nothing of, such as `messages[1].tool_calls`; empty if
    there is none.

    The same conversation is rendered with a mark of its own in each part's place. Reasoning is looked for in `trained`
    messages alone: templates leave out that of earlier turns, when they sample too. `render` may raise ValueError for
    the marks; then nothing is said.
    """
    marked = [_marked(message, i) for i, message in enumerate(messages)]
    try:
        text = render(marked, tools)
        without_tools = render(marked, None) if tools else ""
    except ValueError:
        return ""
    if tools and text == without_tools:
        return "tools"
    for i, message in enumerate(messages):
        for part, mark in _parts(message, i):
            if mark not in text and (part != "reasoning_content" or i in trained):
                return f"messages[{i}].{part}"
    return ""


def _parts(message: Message, i: int) -> Iterator[tuple[str, str]]:
    """Each part of a message that says something, and its mark."""
    for part in ("content", "reasoning_content"):
        if str(message.get(part, "")).strip():
            yield part, _MARK.format(part[0], i)
    calls = message.get("tool_calls", ())
    for k, call in enumerate(calls):
        name = "tool_calls" if len(calls) == 1 else f"tool_calls[{k}]"
        yield name, _MARK.format("n", f"{i}x{k}")
        if call.get("function", call)["arguments"]:
            yield f"{name}.arguments", _MARK.format("a", f"{i}x{k}")


def _marked(message: Message, i: int) -> Message:
    marks = dict(_parts(message, i))
    marked: Message = {**message, **{part: marks[part] for part in ("content", "reasoning_content") if part in marks}}
    if "tool_calls" in message:
        marked["tool_calls"] = [_marked_call(call, f"{i}x{k}") for k, call in enumerate(message["tool_calls"])]
    return marked


def _marked_call(call: ToolCall, place: str) -> ToolCall:
    inner = {**call.get("function", call), "name": _MARK.format("n", place)}
    if inner["arguments"]:
        inner["arguments"] = {"argument": _MARK.format("a", place)}
    return {**call, "function": inner} if "function" in call else inner
