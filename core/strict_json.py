"""Hooks for `json.loads`, and a check of its result, for what JSON leaves open or Python's reader lets pass."""

from __future__ import annotations

from typing import NoReturn


class KeyTwice(ValueError):
    """A key stands twice in one object, of which JSON itself would silently drop one. `key` is it."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key[:50]!r} occurs twice in an object")
        self.key = key


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An `object_pairs_hook`; raises `KeyTwice`."""
    value: dict[str, object] = {}
    for key, item in pairs:
        if key in value:
            raise KeyTwice(key)
        value[key] = item
    return value


def no_constant(name: str) -> NoReturn:
    """A `parse_constant` that refuses NaN and infinities, which are no JSON. `ValueError`."""
    raise ValueError(f"{name} is not JSON")


def deeper(value: object, levels: int) -> bool:
    """Whether lists and objects are nested in one another more than that often."""
    left = [(value, 1)]
    while left:
        each, level = left.pop()
        if isinstance(each, dict | list):
            if level > levels:
                return True
            left += ((inner, level + 1) for inner in (each.values() if isinstance(each, dict) else each))
    return False
