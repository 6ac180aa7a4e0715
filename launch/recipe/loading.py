"""From YAML files and `--set` to a `Recipe`.

`extends: other.yaml` (a path relative to the file) starts from another recipe; the file's own keys are merged over it,
mapping by mapping, and a list replaces a list. `before: {sft: other.yaml}` puts the values of that file, an SFT recipe,
in the place of its path. `--set a.b.c=value` is merged last. Every value remembers where it was written, so that an
error can say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from reprise.core.errors import UserError
from reprise.core.hints import nearest
from reprise.launch.recipe.before import completed
from reprise.launch.recipe.problems import explain, of_other_kind
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.secrets import refuse_secrets
from reprise.launch.recipe.yaml_tree import Keys, Origins, dotted, parse
from reprise.rewards.settings import RewardSettings

# Setting one of these takes the place of what a lower layer chose instead, so that swapping the policy is one key.
INSTEAD_OF: dict[Keys, tuple[Keys, ...]] = {
    ("policy", "path"): (("policy", "build"), ("policy", "build_args")),
    ("policy", "build"): (("policy", "path"), ("policy", "build_args")),
}
_SFT = ("before", "sft")

R = TypeVar("R", bound=BaseModel)
Layer = tuple[Mapping[str, object], Origins]


class _Dumper(yaml.SafeDumper):
    """Lists of plain values on one line, as users write them."""


def _represent_list(dumper: yaml.SafeDumper, data: list[object]) -> yaml.Node:
    flow = not any(isinstance(item, (list, dict)) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _represent_list)


class _RewardsOnly(BaseModel):
    """The keys of a recipe, of which only `rewards` is looked into."""

    model_config = ConfigDict(extra="forbid")

    rewards: RewardSettings


_Rewards = create_model(  # type: ignore[call-overload]
    "_Rewards",
    __base__=_RewardsOnly,
    **{name: (object, None) for name in Recipe.model_fields if name != "rewards"},
)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The RL recipe in a YAML file; see `load_as`."""
    return load_as(Recipe, path, overrides)


def load_as(kind: type[R], path: str | Path, overrides: Sequence[str] = ()) -> R:
    """The recipe of a kind in a YAML file, with `key.path=value` overrides.

    Raises `UserError` with one line per problem: where it was written, the key, what was given and what would be right.
    """
    return validate(*resolved(path, overrides), kind)


def resolved(path: str | Path, overrides: Sequence[str] = ()) -> tuple[dict[str, object], Origins]:
    """A recipe's values before they are checked: `extends` followed, overrides merged; and where each was written."""
    return _resolved(_chain(Path(path)), overrides)


def load_rewards(
    path: str | Path | None, overrides: Sequence[str] = (), defaults: Mapping[str, object] | None = None
) -> RewardSettings:
    """The `rewards` section of a recipe, for verifying without training: no other section need be there.

    Without a file, overrides are merged over `defaults`. Raises `UserError` as `load` does.
    """
    chain = [({"rewards": defaults or {}}, {})] if path is None else _chain(Path(path))
    values, origins = _resolved(chain, overrides)
    refuse_secrets(values, origins)
    try:
        return _Rewards.model_validate_json(json.dumps(values), strict=True).rewards
    except ValidationError as error:
        raise UserError("\n".join(explain(error, origins))) from None


def _resolved(chain: Sequence[Layer], overrides: Sequence[str] = ()) -> tuple[dict[str, object], Origins]:
    values: dict[str, object] = {}
    origins: Origins = {}
    for layer in chain:
        values = _lay(*layer, values, origins)
    for override in overrides:
        for layer in _with_stage(*_override(override, values), Path()):
            values = _lay(*layer, values, origins)
    return values, origins


def validate(values: Mapping[str, object], origins: Origins, kind: type[R] = Recipe) -> R:  # type: ignore[assignment]
    """The recipe of a tree of plain values, strictly: no text is read as a number, no number as a truth value."""
    if (other := of_other_kind(values, origins, kind)) is not None:
        raise UserError(other)
    refuse_secrets(values, origins)
    if issubclass(kind, Recipe) and isinstance(sft := _get(values, _SFT), Mapping):
        rl = _validated({**values, "before": None}, origins, kind).model_dump(mode="json")
        values = _over(values, {"before": {"sft": completed(sft, rl)}})
    return _validated(values, origins, kind)


def _validated(values: Mapping[str, object], origins: Origins, kind: type[R]) -> R:
    try:
        # Read as JSON because only there does pydantic's strict mode take a list for a tuple and a word for an enum.
        return kind.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise UserError("\n".join(explain(error, origins, kind))) from None


def to_yaml(recipe: BaseModel, encoding: str = "utf-8") -> str:
    """The whole recipe, defaults included, as YAML that `load` reads back; escaped if `encoding` is another."""
    utf_8 = encoding.lower().replace("-", "") == "utf8"
    return yaml.dump(recipe.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=utf_8, width=120)


def _chain(path: Path, asked_by: str = "", stage: bool = False) -> list[Layer]:
    """The files of `extends`, the base first. The run is named after the last file unless that one names it. A `stage`
    is the SFT recipe of another."""
    chain: list[Layer] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            circle = " -> ".join(p.name for p in [*seen, path])
            raise UserError(f"{asked_by} goes round in a circle: {circle}; a base must not extend its heir")
        seen.append(path.resolve())
        values, origins = _read(path, asked_by)
        base = values.pop("extends", None)
        values.setdefault("name", path.stem)
        chain = [*([(values, origins)] if stage else _with_stage(values, origins, path.parent)), *chain]
        if base is None:
            return chain
        asked_by = f"{origins[('extends',)]}: `extends`"
        if not isinstance(base, str):
            raise UserError(f"{asked_by} takes the path of one recipe, relative to this file, not {base!r}")
        path = path.parent / base


def _with_stage(values: Mapping[str, object], origins: Origins, folder: Path) -> list[Layer]:
    """A layer with the SFT recipe whose path `before.sft` is, relative to `folder`, in its place: instead of all that
    lower layers say there."""
    if not isinstance(path := _get(values, _SFT), str):
        return [(values, origins)]
    at = origins[_SFT]
    stage, stage_origins = _resolved(_chain(folder / path, f"{at}: `before.sft`", stage=True))
    without: Layer = ({"before": None}, {("before",): at})
    within = {(*_SFT, *keys): origin for keys, origin in stage_origins.items()}
    return [without, (_over(values, {"before": {"sft": stage}}), origins | within)]


def _read(path: Path, asked_by: str) -> tuple[dict[str, object], Origins]:
    asked = f"{asked_by}: " if asked_by else ""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        hint = f"; did you mean {path.parent / near}?" if near else ""
        raise UserError(f"{asked}there is no recipe {path}{hint}") from None
    except OSError as error:
        raise UserError(f"{asked}recipe {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{asked}recipe {path} is not UTF-8 text; a recipe is a YAML file") from None
    values, origins = parse(text, str(path))
    if not isinstance(values, dict):
        what = "empty" if values is None else f"a {type(values).__name__}"
        raise UserError(f"{path}: a recipe is a mapping of keys to values; this file is {what}")
    return values, origins


def _override(override: str, values: Mapping[str, object]) -> tuple[dict[str, object], Origins]:
    """`a.b.c=value` as a layer. An item of a list is named by its number: `data.train.0.weight=2`."""
    source = f"--set {override}"
    path, equals, text = override.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"{source}: wants key.path=value, such as --set learner.lr=1e-4")
    if parts == ["extends"]:
        raise UserError(f"{source}: `extends` belongs in a file; write a recipe that extends the other")
    value, _ = parse(text, source)
    layer, keys = _wrapped(parts, value, values, source, ())
    return cast(dict[str, object], layer), {keys: source}


def _wrapped(parts: Sequence[str], value: object, under: object, source: str, done: Keys) -> tuple[object, Keys]:
    """The value below its key path, and that path with list items as numbers; items beside it are kept."""
    if not parts:
        return value, done
    head, rest = parts[0], parts[1:]
    if not isinstance(under, list):
        below = under.get(head) if isinstance(under, Mapping) else None
        inner, keys = _wrapped(rest, value, below, source, (*done, head))
        return {head: inner}, keys
    if not head.isdecimal() or int(head) >= len(under):
        raise UserError(f"{source}: {dotted(done)} is a list of {len(under)}; name an item by its number, from 0")
    index = int(head)
    inner, keys = _wrapped(rest, value, under[index], source, (*done, index))
    return [*under[:index], _merged(under[index], inner), *under[index + 1 :]], keys


def _lay(
    layer: Mapping[str, object], layer_origins: Origins, values: dict[str, object], origins: Origins
) -> dict[str, object]:
    """`layer` over `values`; `origins` is brought up to date."""
    for chosen, others in INSTEAD_OF.items():
        if _get(layer, chosen) is not None:
            for section, key in others:
                if isinstance(lower := values.get(str(section)), dict):
                    values = {**values, str(section): {k: v for k, v in lower.items() if k != key}}
    replaced = [keys for keys in layer_origins if not isinstance(_get(layer, keys), Mapping)]
    for stale in [k for k in origins if any(k[: len(keys)] == keys for keys in replaced)]:
        del origins[stale]
    origins.update(layer_origins)
    return _over(values, layer)


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    return {**below, **{key: _merged(below[key], value) if key in below else value for key, value in above.items()}}


def _merged(below: object, above: object) -> object:
    return _over(below, above) if isinstance(below, Mapping) and isinstance(above, Mapping) else above


def _get(values: object, keys: Keys) -> object:
    for key in keys:
        if isinstance(values, list) and isinstance(key, int) and key < len(values):
            values = values[key]
        else:
            values = values.get(key) if isinstance(values, Mapping) else None
    return values
