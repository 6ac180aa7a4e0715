"""What a task of the tool-call verifier says: the functions on offer, and the calls that are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import get_args

from reprise.core.errors import UserError
from reprise.core.hints import did_you_mean, refuse_unknown
from reprise.core.types import Task
from reprise.rewards.verifiers.tools.matching import Expected, Strings
from reprise.rewards.verifiers.tools.schemas import Schema, functions_of, problem
from reprise.rewards.workers.requests import pack

MAX_CALLS = 64  # of one task
MAX_PACKED_BYTES = 30_000  # functions and expected calls as a request holds them; the rest of it is for the answer

_KEYS = ["schemas", "calls", "ordered", "strings"]
_CALL_KEYS = ["name", "arguments", "accept", "optional"]
_FORM = '{"schemas": [{"name": "f", "parameters": {…}}], "calls": [{"name": "f", "arguments": {"x": 1}}]}'


@dataclass(frozen=True, slots=True)
class Reference:
    """A task's answer, checked.

    functions  parameter schemas by name, of those that the calls need and of all others
    ordered    whether the calls must come in this order; None: as the recipe says
    strings    how strings are compared; None: as the recipe says
    """

    functions: Mapping[str, Schema]
    calls: list[Expected]
    ordered: bool | None
    strings: Strings | None


def reference_of(task: Task) -> Reference:
    """The reference in `task.answer`. UserError names the field if it is malformed or contradicts itself."""
    try:
        return _reference(json.dumps(task.answer, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UserError(f"task {task.id!r}: {error}") from error
    except RecursionError as error:
        raise UserError(f"task {task.id!r}: answer is nested too deeply, or a schema refers to itself") from error


@lru_cache(maxsize=256)
def _reference(answer_json: str) -> Reference:
    """ValueError says what is wrong. Cached, because a task is checked again with each of its answers."""
    answer = json.loads(answer_json)
    if not isinstance(answer, dict) or "schemas" not in answer or not isinstance(answer.get("calls"), list):
        raise ValueError(f"answer must be such as {_FORM}")
    refuse_unknown(answer, _KEYS, "answer")
    if not isinstance(answer.get("ordered", False), bool):
        raise ValueError(f"answer.ordered must be true or false, not {answer['ordered']!r}")
    if answer.get("strings", "exact") not in get_args(Strings):
        raise ValueError(f"answer.strings must be one of {', '.join(get_args(Strings))}, not {answer['strings']!r}")
    functions = functions_of(answer["schemas"], "answer.schemas")
    calls = [_expected(entry, f"answer.calls[{n}]", functions) for n, entry in enumerate(answer["calls"])]
    if len(calls) > MAX_CALLS:
        raise ValueError(f"answer.calls: {len(calls)} calls, more than {MAX_CALLS}")
    size = len(pack([functions, [asdict(call) for call in calls]]))
    if size > MAX_PACKED_BYTES:
        raise ValueError(f"answer: schemas and calls take {size} bytes when packed, more than {MAX_PACKED_BYTES}")
    return Reference(functions, calls, answer.get("ordered"), answer.get("strings"))


def _expected(entry: object, where: str, functions: Mapping[str, Schema]) -> Expected:
    if not isinstance(entry, dict):
        raise ValueError(f'{where} must be an object with "name" and "arguments", not {entry!r}')
    refuse_unknown(entry, _CALL_KEYS, where)
    for key in ("name", "arguments"):
        if key not in entry:
            raise ValueError(f"{where}.{key}: missing")
    name, arguments = entry["name"], entry["arguments"]
    accept, optional = entry.get("accept", {}), entry.get("optional", [])
    if not isinstance(name, str) or name not in functions:
        raise ValueError(f"{where}.name: {name!r} is not among answer.schemas{did_you_mean(str(name), functions)}")
    if not isinstance(arguments, dict):
        raise ValueError(f"{where}.arguments must be an object, not {arguments!r}")
    if not isinstance(accept, dict) or not all(isinstance(values, list) and values for values in accept.values()):
        raise ValueError(f"{where}.accept must hold a list of values for each argument, not {accept!r}")
    call = Expected(name, arguments, accept, optional)
    if not isinstance(optional, list) or not all(isinstance(each, str) and each in call.names for each in optional):
        raise ValueError(f"{where}.optional must be a list of this call's own arguments, not {optional!r}")
    _check_arguments(call, functions[name], where)
    return call


def _check_arguments(call: Expected, schema: Schema, where: str) -> None:
    """Each call that would be accepted satisfies the schema itself, or no answer could be right by it."""
    full = {name: call.acceptable(name)[0] for name in call.names}
    trials = {f"{where}.arguments": full}
    for name, values in call.accept.items():
        trials |= {f"{where}.accept.{name}[{n}]": {**full, name: value} for n, value in enumerate(values)}
    for name in call.optional:
        trials[f"{where}.optional ({name})"] = {key: value for key, value in full.items() if key != name}
    for place, arguments in trials.items():
        wrong = problem(schema, arguments)
        if wrong:
            raise ValueError(f"{place}: does not satisfy the schema of {call.name!r}: {wrong}")
