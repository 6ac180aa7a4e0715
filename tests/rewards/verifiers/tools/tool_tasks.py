"""Functions, and the tasks and calls that the tests of this folder make of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from reprise.core.types import Task
from reprise.rewards.verifiers.tools.reference import reference_of
from reprise.rewards.verifiers.tools.worker import handle
from reprise.rewards.workers.requests import pack

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
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def schema(parameters: Any) -> dict[str, Any]:
    return {"schemas": [{"name": "f", "parameters": parameters}], "calls": []}
