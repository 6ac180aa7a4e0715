"""Refusing a key that a record cannot have, and saying which one was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from reprise.core.hints import did_you_mean


def refuse_unknown(given: Iterable[str], known: Collection[str], where: str) -> None:
    """ValueError naming the first of the `given` keys of the record at `where` that is not `known`."""
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known)
            raise ValueError(f"{where}.{key}: unknown{hint}; only {', '.join(known)} may stand here")
