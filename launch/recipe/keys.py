"""What keys a recipe has, and in words what each takes: for `reprise recipe --keys` and for error messages."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reprise.launch.recipe.base import RunRecipe
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.yaml_tree import Keys

_BOUNDS = {
    annotated_types.Ge: ("ge", "of at least"),
    annotated_types.Gt: ("gt", "above"),
    annotated_types.Le: ("le", "of at most"),
    annotated_types.Lt: ("lt", "below"),
}
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


class Key(NamedTuple):
    """One key of a recipe: its dotted path, what it takes, its default as YAML shows it, and what it does."""

    path: str
    takes: str
    default: str
    description: str


def keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[Key]:
    """Every key of a recipe, sections before their keys; `*` stands for a name and `[]` for an item of a list."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        suffix, inner = _model_in(field.annotation)
        description = field.description or (_summary(inner) if inner else "")
        kind = {"": "section", "[]": "a list", ".*": "a mapping of names"}[suffix] if inner else takes(field)
        yield Key(path + suffix, kind, _default(field), description)
        if inner is not None and not issubclass(inner, RunRecipe):  # one within another: its keys are listed by itself
            yield from keys(inner, f"{path}{suffix}.")


def below(section: str, model: type[BaseModel]) -> list[Key]:
    """The keys of a section, itself included; all if it is empty. `[]` may be left out."""
    return [k for k in keys(model) if not section or f"{_bare(k.path)}.".startswith(f"{_bare(section)}.")]


def _bare(path: str) -> str:
    return path.replace("[]", "")


def field_at(path: Keys, root: type[BaseModel] = Recipe) -> FieldInfo | None:
    """The field that a path of a recipe leads to; None inside free arguments or where there is none."""
    return _at(path, root)[1]


def model_at(path: Keys, root: type[BaseModel] = Recipe) -> type[BaseModel] | None:
    """The settings class whose keys stand at a path of a recipe; None inside free arguments."""
    return _direct_model(_at(path, root)[0])


def _at(path: Keys, root: type[BaseModel]) -> tuple[object, FieldInfo | None]:
    """The annotation at a path, and the field if the last key is one of a settings class."""
    annotation: object = root
    field: FieldInfo | None = None
    for key in path:
        model = _direct_model(annotation)
        field = model.model_fields.get(str(key)) if model else None
        if model is not None and field is None:
            return object, None
        annotation = field.annotation if field else _item_of(annotation)
    return annotation, field


def takes(field: FieldInfo) -> str:
    """In words: "a whole number of at least 1, or null"."""
    limits = [
        f"{words} {getattr(rule, name)}"
        for rule in field.metadata
        for kind, (name, words) in _BOUNDS.items()
        if isinstance(rule, kind)
    ]
    some = any(isinstance(rule, annotated_types.MinLen) and rule.min_length > 0 for rule in field.metadata)
    most = [f" of at most {r.max_length} characters" for r in field.metadata if isinstance(r, annotated_types.MaxLen)]
    bounds = [" " + " and ".join(limits)] if limits else most
    return _words(field.annotation, "".join([*bounds, ", not empty" if some else ""]))


def mapping_of(model: type[BaseModel]) -> str:
    """In words: "a mapping with keys use, args"."""
    return "a mapping with keys " + ", ".join(model.model_fields)


def _words(annotation: object, limits: str = "") -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation] + limits
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(map(str, args))
    if origin in (Union, types.UnionType):
        return (", or " if limits.startswith(",") else " or ").join(
            _words(a, "" if a is types.NoneType else limits) for a in args
        )
    if origin is tuple and Ellipsis not in args:
        return f"a list of {len(args)}: " + ", ".join(map(_words, args))
    if origin in (list, tuple):
        if model := _direct_model(args[0]):
            return f"a list of mappings with keys {', '.join(model.model_fields)}{limits}"
        return f"a list, each item {_words(args[0])}{limits}" if args[0] in _WORDS else f"a list of lists{limits}"
    if origin is dict:
        model = _direct_model(args[1])
        return "a mapping of names to " + (_words(model) if model else "values") + limits
    if _is_model(annotation):
        return mapping_of(annotation)
    return "any value"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _model_in(annotation: object) -> tuple[str, type[BaseModel] | None]:
    """The settings class inside an annotation, and how its keys are reached: '' directly, '[]' or '.*' inside."""
    if model := _direct_model(annotation):
        return "", model
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple) and args and (model := _direct_model(args[0])):
        return "[]", model
    if origin is dict and (model := _direct_model(args[1])):
        return ".*", model
    return "", None


def _direct_model(annotation: object) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if _is_model(candidate) and (candidate is annotation or get_origin(annotation) in (Union, types.UnionType)):
            return candidate
    return None


def _item_of(annotation: object) -> object:
    """What an item of this list or mapping is; `object`, anything, where it is neither."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((i for a in get_args(annotation) if (i := _item_of(a)) is not object), object)
    args = get_args(annotation)
    if get_origin(annotation) in (list, tuple) and args:
        return args[0]
    return args[1] if get_origin(annotation) is dict and len(args) == 2 else object


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _summary(model: type[BaseModel] | None) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ") if model else ""
