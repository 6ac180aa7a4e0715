"""What is wrong with a recipe, one line a problem: place, key, what was given, what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from reprise.core.hints import nearest
from reprise.launch.recipe.keys import field_at, keys, mapping_of, model_at, takes
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.yaml_tree import Keys, Origins, dotted

# Keys that other systems have and this one refuses, or calls otherwise.
REFUSED = {
    **dict.fromkeys(
        ("top_p", "top_k", "min_p", "typical_p"),
        "it renormalises the sampled distribution, so the recorded log-probabilities would not be those the learner "
        "computes; only rollout.temperature shapes sampling",
    ),
    **dict.fromkeys(
        ("repetition_penalty", "presence_penalty", "frequency_penalty", "length_penalty"),
        "the samples would not be the policy's own; put what should be rewarded into a verifier",
    ),
}
# Keys of earlier versions, and how what they said is said now.
MOVED = {
    "warm_start": "what comes before RL is an SFT recipe: write before: {sft: its_path.yaml} "
    "(recipes/demo_before.yaml is one), or before: null for nothing",
}
# Keys by which one sees that a recipe is of the other kind.
OTHER_KIND = {
    "stages": "a recipe with stages is for supervised fine-tuning: reprise sft",
    "rollout": "a recipe with rollouts is for RL: reprise train",
    "rewards": "a recipe with rewards is for RL: reprise train",
}
# What more to say of a key, or of a key that was given this value.
HINTS = {
    "rollout.temperature 0": "at 0 all samples of a group would be equal, and there would be nothing to compare",
    "steps 0": "to have a policy evaluated, take steps=1: pass@1 is measured before the step and after it",
    "rollout.group_size 1": "a group of one has no other response to be compared with",
    "before.sft": "give the path of an SFT recipe, relative to this file, or its keys",
}


def explain(error: ValidationError, origins: Origins, root: type[BaseModel] = Recipe) -> Iterator[str]:
    """One line for each problem pydantic found in a recipe of the kind `root`."""
    for detail in error.errors(include_url=False):
        path: Keys = tuple(detail["loc"])
        kind, context = detail["type"], detail.get("ctx", {})
        if kind == "contradiction":
            for found in context["found"]:
                blamed = _blamed([(*path, *_path_of(key)) for key in found.keys], origins)
                yield _line(blamed, f"{dotted(path)}: {found.message}" if path else found.message, origins)
        elif kind == "extra_forbidden":
            yield _line(path, f"{dotted(path)}: {_unknown(path, root)}", origins)
        elif kind == "missing":
            missing = path[:-1] if isinstance(path[-1], int) else path
            field = field_at(missing, root)
            what = f"; it takes {takes(field)}{_examples(field)}" if field else ""
            short = "is too short" if missing != path else "is missing"
            yield _line(path[:-1], f"{dotted(missing)} {short}{what}", origins)
        elif kind == "value_error":
            message, model = str(context["error"]), model_at(path, root)
            words = re.findall(r"\w+", message)
            named = [(*path, name) for name in (model.model_fields if model else ()) if name in words]
            yield _line(_blamed([*named, path], origins), f"{dotted(path)}: {message}", origins)
        else:
            yield _line(path, _wrong(path, detail["input"], detail["msg"], root), origins)


def of_other_kind(values: Mapping[str, object], origins: Origins, root: type[BaseModel]) -> str | None:
    """The one line that is to be said of a recipe of another kind than `root`; None if it is of this one."""
    for name, kind in OTHER_KIND.items():
        if name in values and name not in root.model_fields:
            return _line((name,), f"{name}: no such key here: {kind}", origins)
    return None


def where(path: Keys, origins: Origins) -> str:
    """`file:line` or the `--set` that wrote this value, else something inside it, else the mapping around it."""
    inside = next((origin for keys, origin in origins.items() if keys[: len(path)] == path), "") if path else ""
    around = (origins[path[:end]] for end in range(len(path) - 1, 0, -1) if path[:end] in origins)
    return origins.get(path) or inside or next(around, "")


def _line(path: Keys, message: str, origins: Origins) -> str:
    place = where(path, origins)
    return f"{place}: {message}" if place else message


def _path_of(key: str) -> Keys:
    return tuple(int(part) if part.isdecimal() else part for part in key.split("."))


def _blamed(paths: Sequence[Keys], origins: Origins) -> Keys:
    """Of keys that contradict each other the one to point at: one that --set changed, else one that a file sets."""
    changed = (path for path in paths if where(path, origins).startswith("--set"))
    written = (path for path in paths if path in origins)
    return next(changed, None) or next(written, paths[-1])


def _unknown(path: Keys, root: type[BaseModel]) -> str:
    """Why this key is none, and the nearest that is: beside it first, else anywhere in a recipe."""
    name = str(path[-1])
    if name in REFUSED:
        return f"refused: {REFUSED[name]}"
    if dotted(path) in MOVED:
        return f"no such key any more; {MOVED[dotted(path)]}"
    model = model_at(path[:-1], root)
    siblings = list(model.model_fields) if model else []
    if (beside := nearest(name, siblings, 0.6)) is not None:
        return f"no such key; did you mean {dotted((*path[:-1], beside))}?"
    by_name: dict[str, str] = {}
    for key in keys(root):
        by_name.setdefault(key.path.rsplit(".", 1)[-1], key.path)
    if (elsewhere := nearest(name, by_name, 0.8)) is not None:
        return f"no such key; did you mean {by_name[elsewhere]}?"
    return f"no such key; the keys here are {', '.join(siblings)}"


def _wrong(path: Keys, given: object, message: str, root: type[BaseModel]) -> str:
    field = field_at(path, root)
    model = model_at(path, root)
    if field is not None:
        right = f"takes {takes(field)}{_examples(field)}"
    else:
        right = f"takes {mapping_of(model)}" if model else f"is wrong ({message[0].lower()}{message[1:]})"
    if field and "pattern" in message:
        right += " (letters, digits, dots, dashes and underscores; no slash)"
    hint = HINTS.get(dotted(path)) or HINTS.get(f"{dotted(path)} {_shown(given)}")
    return f"{dotted(path)} {right}, but was given {_shown(given)}" + (f": {hint}" if hint else "")


def _examples(field: FieldInfo) -> str:
    return f", such as {' or '.join(map(json.dumps, field.examples))}" if field.examples else ""


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    return json.dumps(value)
