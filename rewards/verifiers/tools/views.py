"""What a JSON Schema says of one place in the arguments: which schemas apply there, through references and choices."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from reprise.rewards.verifiers.tools.schemas import Schema

_ONE = ("if", "then", "else")
_MANY = ("allOf", "anyOf", "oneOf")


class Views:
    """The schemas that may apply to one value. References by anchor are not followed: then nothing more is known."""

    def __init__(self, root: Schema, schemas: Iterable[object]) -> None:
        self._root = root
        self._schemas: list[Schema] = []
        waiting, seen = list(schemas), set()
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            self._schemas.append(schema)
            waiting += [schema.get(key) for key in _ONE]
            waiting += [one for key in _MANY for one in schema.get(key, [])]
            if isinstance(schema.get("$ref"), str):
                waiting.append(_target(root, schema["$ref"]))

    def member(self, name: str) -> Views:
        """What applies to the property of an object."""
        found = []
        for schema in self._schemas:
            properties = schema.get("properties", {})
            found.append(properties.get(name, schema.get("additionalProperties")))
        return Views(self._root, found)

    def element(self, index: int) -> Views:
        """What applies to an element of an array."""
        found: list[object] = []
        for schema in self._schemas:
            first, rest = schema.get("prefixItems", []), schema.get("items")
            if isinstance(rest, list):  # before draft 2020-12
                first, rest = rest, schema.get("additionalItems")
            found.append(first[index] if index < len(first) else rest)
        return Views(self._root, found)

    @property
    def numbers(self) -> bool:
        """Whether `number` is allowed here, so that 5 and 5.0 are the same."""
        types = [schema.get("type") for schema in self._schemas]
        return any(kind == "number" or (isinstance(kind, list) and "number" in kind) for kind in types)

    @property
    def defaults(self) -> list[object]:
        """The values that stand for a missing one: at most one in a sane schema."""
        return [schema["default"] for schema in self._schemas if "default" in schema]


def _target(root: Schema, reference: str) -> object:
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    place: object = root
    for part in unquote(reference[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and key.isdigit() and int(key) < len(place):
            place = place[int(key)]
        elif isinstance(place, dict):
            place = place.get(key)
        else:
            return None
    return place
