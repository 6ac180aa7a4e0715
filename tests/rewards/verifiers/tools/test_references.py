"""Tasks that cannot be verified are refused."""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest
from tool_tasks import ADD, ROME, WEATHER, call, schema, task

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.rewards.verifiers.tools.reference import reference_of
from reprise.rewards.verifiers.tools.schemas import problem
from reprise.rewards.verifiers.tools.verifier import ToolsVerifier


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
def test_a_task_that_cannot_be_verified_is_refused(reference: Any, message: str) -> None:
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
