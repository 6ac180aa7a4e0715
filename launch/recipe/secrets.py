"""Secrets do not belong into a recipe: it is copied into the run's folder, sent to the tracker and printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from reprise.core.errors import UserError
from reprise.launch.recipe.problems import where
from reprise.launch.recipe.yaml_tree import Keys, Origins, dotted

_NAMES = re.compile(
    r"(^|_)(api_?key|access_key|private_key|pass(word|wd|phrase)|secret|authorization|credentials?"
    r"|(api|access|auth|bearer|refresh|hf|wandb)_token)$"
)
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*@")
_SCHEMES = re.compile(r"(bearer|basic)\s+\S{8,}", re.IGNORECASE)


def refuse_secrets(values: Mapping[str, object], origins: Origins) -> None:
    """UserError, which shows none of them, if a recipe's values hold what looks like a password, key or token."""
    found = [f"{_place(path, origins)}{dotted(path)}: {why}" for path, why in _secrets(values, ())]
    if found:
        raise UserError("\n".join(found))


def _secrets(value: object, path: Keys) -> Iterator[tuple[Keys, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _secrets(item, (*path, index))
    elif isinstance(value, str) and value and path:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", str(path[-1])).lower()
        if _USERINFO.match(value):
            yield path, f"an address with a user or password in it is {_STORED}"
        elif _NAMES.search(name) or _SCHEMES.fullmatch(value):
            yield path, f"a secret is {_STORED}"


_STORED = (
    "refused: a recipe is copied into the run's folder and sent to the tracker; put it into a file that only you can "
    "read, and give the file's path (api_key_file of the llm_judge, or an argument of your own)"
)


def _place(path: Keys, origins: Origins) -> str:
    place = where(path, origins)
    if place.startswith("--set"):
        place = place.partition("=")[0]  # the rest is the secret
    return f"{place}: " if place else ""
