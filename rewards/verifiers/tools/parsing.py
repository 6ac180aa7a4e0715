"""From an answer to the calls it makes. Strict: whatever a careful JSON reader would stumble over is an error."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from reprise.core.strict_json import deeper, no_constant, unique_keys

MAX_DEPTH = 32  # brackets within brackets; beyond it checking would meet Python's recursion limit
_CALL_KEYS = {"name", "arguments"}


class Malformed(ValueError):
    """The blocks of an answer cannot be read as calls; the message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was made."""

    name: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class Blocks:
    """The tagged blocks of an answer: the contents of the closed ones, and what is wrong with the tags, if anything."""

    contents: list[str]
    unclosed: bool
    unopened: bool


def find_blocks(text: str, tag: str) -> Blocks:
    """All `<tag>…</tag>` of a text. A block ends at the first closing tag, also within a JSON string."""
    contents: list[str] = []
    start: int | None = None
    unopened = False
    for match in _tags(tag).finditer(text):
        if match["closing"] is None:
            start = match.end() if start is None else start  # an opening tag within a block is a part of its content
        elif start is None:
            unopened = True
        else:
            contents.append(text[start : match.start()])
            start = None
    return Blocks(contents, start is not None, unopened)


def calls_in(blocks: Blocks, tag: str) -> list[Call]:
    """The calls of the blocks, in order. Each block holds one call or a list of calls. Raises Malformed."""
    if blocks.unclosed:
        raise Malformed(f"<{tag}> is not closed")
    if blocks.unopened:
        raise Malformed(f"</{tag}> closes nothing")
    calls = []
    for content in blocks.contents:
        value = strict_json(content)
        calls += [_call(entry) for entry in (value if isinstance(value, list) else [value])]
    return calls


def strict_json(text: str) -> object:
    """A JSON value. Malformed for anything else, trailing text, duplicate keys, or numbers or depth out of bounds."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=unique_keys,
            parse_constant=no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except Malformed:
        raise
    except RecursionError as error:
        raise Malformed(f"more than {MAX_DEPTH} levels deep") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from error
    except ValueError as error:
        raise Malformed(str(error)) from error
    if deeper(value, MAX_DEPTH):
        raise Malformed(f"more than {MAX_DEPTH} levels deep")
    return value


def _call(value: object) -> Call:
    if not isinstance(value, dict) or set(value) != _CALL_KEYS:
        raise Malformed('a call is an object with "name" and "arguments" and nothing else')
    if not isinstance(value["name"], str) or not isinstance(value["arguments"], dict):
        raise Malformed("the name of a call is a string, its arguments are an object")
    return Call(value["name"], value["arguments"])


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Malformed(f"the number {digits[:50]} is too large")
    return value


def _integer(digits: str) -> int:
    try:
        value = int(digits)
        float(value)
    except (ValueError, OverflowError) as error:  # more digits than Python converts, or than a double can hold
        raise Malformed(f"the number {digits[:50]}… is too large") from error
    return value


@lru_cache
def _tags(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(?P<closing>/)?{re.escape(tag)}>")
