"""Refusing a key that a record cannot have, and saying which one was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def refuse_unknown(given: Iterable[str], known: Collection[str], where: str) -> None:
    """ValueError naming the first of the `given` keys of the record at `where` that is not `known`."""
    for key in given:
        if key not in known:
            raise ValueError(f"{where}.{key}: unknown{hint(key, known)}; only {', '.join(known)} may stand here")


def hint(wrong: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing if no known name is near."""
    near = get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
