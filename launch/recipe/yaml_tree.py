"""YAML as recipes use it: plain values only, and the line of every one of them."""

from __future__ import annotations

import math
import re

import yaml

from reprise.core.errors import UserError

Keys = tuple[str | int, ...]
Origins = dict[Keys, str]

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its traps: `1e-4` is a number; `yes`, `012`, `1:30` and dates are the words written."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


def _resolve(kind: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), [*first, ""])


_resolve("null", "~|null|", "~n")
_resolve("bool", "true|false|True|False", "tfTF")
_resolve("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789")
_resolve("float", r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)", "-+.0123456789")


def parse(text: str, source: str) -> tuple[object, Origins]:
    """The value of a YAML text, and for every key path below it the `source:line` where it is written.

    Raises `UserError` naming source and line: not YAML, a key written twice (YAML would silently keep the last), an
    alias, a tag.
    """
    origins: Origins = {}
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, origins
        _walk(root, (), source, origins, set())
        return loader.construct_document(root), origins
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{source}{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {error}") from None
    except RecursionError:
        raise UserError(f"{source}: nested too deeply to be a recipe") from None


def _walk(node: yaml.Node, keys: Keys, source: str, origins: Origins, seen: set[int]) -> None:
    at = f"{source}:{node.start_mark.line + 1}"
    if id(node) in seen:
        raise UserError(f"{at}: {dotted(keys)} is an alias of another value (*name); write it out, or use `extends`")
    seen.add(id(node))
    if node.tag not in _PLAIN:
        raise UserError(f"{at}: {dotted(keys)} has the tag {node.tag}; a recipe holds plain values only")
    if node.tag == "tag:yaml.org,2002:float" and math.isinf(float(node.value.replace("_", ""))):
        raise UserError(f"{at}: {dotted(keys)} is {node.value}, beyond the largest number that there is (1.8e308)")
    if isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            origins[(*keys, i)] = f"{source}:{value.start_mark.line + 1}"
            _walk(value, (*keys, i), source, origins, seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise UserError(f"{source}:{line}: a key must be a word, not {shown}; quote it if it is meant as one")
            path = (*keys, key.value)
            if key.value in lines:
                raise UserError(
                    f"{source}:{line}: {dotted(path)} is written twice (also on line {lines[key.value]}); keep one"
                )
            lines[key.value] = line
            origins[path] = f"{source}:{line}"
            _walk(value, path, source, origins, seen)


def dotted(keys: Keys) -> str:
    """`a.b.0.c`"""
    return ".".join(map(str, keys)) or "the recipe"
