"""The functions a task offers and the JSON Schemas of their arguments. Nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

Schema = dict[str, Any]

_NO_PARAMETERS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
_NOTHING_ELSE: Registry[object] = Registry()  # jsonschema would look remote references up if it were given no registry
_JSON_SCHEMA_NAMES = {"dict": "object", "float": "number", "double": "number", "int": "integer", "str": "string",
                      "bool": "boolean", "list": "array", "tuple": "array"}  # fmt: skip


def functions_of(entries: object, where: str) -> dict[str, Schema]:
    """Parameter schemas by function name. ValueError names the field that is wrong.

    entries  `{"type": "function", "function": {"name", "parameters"}}` or `{"name", "parameters"}`, other keys ignored;
             a function without `parameters` takes none
    """
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{where} must be a list of function schemas, not {short(entries)}")
    functions: dict[str, Schema] = {}
    for n, entry in enumerate(entries):
        place = f"{where}[{n}]"
        if isinstance(entry, dict) and "function" in entry:
            entry, place = entry["function"], f"{place}.function"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
            raise ValueError(f'{place} must be an object with "name" and "parameters", not {short(entry)}')
        if entry["name"] in functions:
            raise ValueError(f"{place}.name: {entry['name']!r} is there twice")
        parameters = entry.get("parameters")
        parameters = _NO_PARAMETERS if parameters is None else parameters
        _check(parameters, f"{place}.parameters")
        functions[entry["name"]] = parameters
    return functions


def validator(schema: Schema) -> Validator:
    """A validator for the schema that fetches nothing. The dialect is that of `$schema`, else draft 2020-12.

    `format` is an annotation, as JSON Schema has it by default: it is not checked.
    """
    return validator_for(schema, default=jsonschema.Draft202012Validator)(schema, registry=_NOTHING_ELSE)


def problem(schema: Schema, arguments: object) -> str:
    """What is wrong with arguments that do not satisfy the schema, with the path to it; empty if they do."""
    error = next(iter(validator(schema).iter_errors(arguments)), None)
    if error is None:
        return ""
    return f"{''.join(f'[{part!r}]' for part in error.absolute_path)} {error.message[:200]}".strip()


def _check(schema: object, where: str) -> None:
    if not isinstance(schema, dict):
        raise ValueError(f"{where} must be a JSON Schema, that is an object, not {short(schema)}")
    cls = validator_for(schema, default=None)
    if "$schema" in schema and cls is None:
        raise ValueError(f"{where}.$schema: unknown dialect {schema['$schema']!r}")
    try:
        (cls or jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as error:
        place = ".".join([where, *(str(part) for part in error.absolute_path)])
        better = _JSON_SCHEMA_NAMES.get(error.instance) if isinstance(error.instance, str) else None
        hint = f" (did you mean {better!r}?)" if better else ""
        raise ValueError(f"{place}: not JSON Schema: {error.message[:200]}{hint}") from error
    if "type" in schema and "object" not in schema["type"]:
        raise ValueError(f"{where}.type: arguments are an object, so this cannot be {schema['type']!r}")
    _check_references(schema, where)


def _check_references(schema: Schema, where: str) -> None:
    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    base = resource.id() or ""
    resolver = Registry().with_resource(base, resource).resolver(base)
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError(f"{where}: the reference {reference!r} leads out of the schema; only #… is followed")
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise ValueError(f"{where}: the reference {reference!r} leads nowhere") from error


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def short(value: object) -> str:
    return repr(value)[:100]
