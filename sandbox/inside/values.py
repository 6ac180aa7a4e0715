"""Values that enter and leave the sandbox: typed JSON, so that a tuple stays a tuple and NaN stays NaN.

Plain: null, true, false, strings, lists, whole numbers below 2**53. Everything else is an object with one key, which
names its type: {"int": "-1f"} (hexadecimal), {"float": "0x1.8p+0" | "nan" | "inf" | "-inf"}, {"tuple": […]},
{"dict": [[key, value], …]}, {"set": […]}, {"frozenset": […]}, {"bytes": "00ff"}, {"complex": [float, float]},
{"range": [start, stop, step]}.

`encode` runs beside hostile code, `decode` outside: it takes nothing on trust, and builds nothing but these types, in
time proportional to the text. Hence large sets and dicts have at most 20,000 members together that are no text: Python
hashes numbers and tuples in a way that lets their sender make them collide.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100
MAX_MEMBERS = 20_000  # of all large sets and dicts of a value together, texts aside
_LARGE = 1000  # members, from which on one is large
_ALIKE = 50  # members whose hashes are equal
_SAFE = 1 << 53


class ValueRefused(ValueError):
    """A value that cannot cross, or a text that is no value."""


def encode(value: object, depth: int = 0) -> object:
    """JSON for a value. A subclass crosses as the built-in type it extends, numpy's arrays as lists."""
    if depth > MAX_DEPTH:
        raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__index__(value)
        return number if -_SAFE < number < _SAFE else {"int": format(number, "x")}
    if isinstance(value, float):
        return {"float": float.hex(float.__float__(value))}
    if isinstance(value, list):
        return [encode(each, depth + 1) for each in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"tuple": [encode(each, depth + 1) for each in tuple.__iter__(value)]}
    if isinstance(value, dict):
        pairs = dict.items(value)
        return {"dict": [[encode(key, depth + 1), encode(each, depth + 1)] for key, each in pairs]}
    if isinstance(value, set):
        return {"set": [encode(each, depth + 1) for each in set.__iter__(value)]}
    if isinstance(value, frozenset):
        return {"frozenset": [encode(each, depth + 1) for each in frozenset.__iter__(value)]}
    if isinstance(value, bytes):
        return {"bytes": bytes.hex(value)}
    if isinstance(value, range):
        return {"range": [encode(each) for each in (value.start, value.stop, value.step)]}
    if isinstance(value, complex):
        return {"complex": [float.hex(value.real), float.hex(value.imag)]}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return encode(value.tolist(), depth + 1)
    raise ValueRefused(f"a value of type {type(value).__name__!r} cannot leave the sandbox")


def decode(plain: object, depth: int = 0) -> Any:
    """The value that `encode` gave `plain` for. ValueRefused if there is none."""
    return _decode(plain, depth, [MAX_MEMBERS])


def _decode(plain: object, depth: int, left: list[int]) -> object:
    """left: how many members of large sets and dicts there may still be."""
    if depth > MAX_DEPTH:
        raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
    if plain is None or isinstance(plain, bool | str):
        return plain
    if isinstance(plain, int):
        if -_SAFE < plain < _SAFE:
            return plain
        raise ValueRefused("a large number must come as text")
    if isinstance(plain, list):
        return [_decode(each, depth + 1, left) for each in plain]
    if not isinstance(plain, dict) or len(plain) != 1:
        raise ValueRefused(f"no value: {type(plain).__name__}")
    ((kind, content),) = plain.items()
    try:
        return _decode_typed(kind, content, depth + 1, left)
    except ValueRefused:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueRefused(f"no {kind}: {error}") from error


def _decode_typed(kind: str, content: Any, depth: int, left: list[int]) -> Any:
    if kind == "dict":
        pairs = [(_decode(key, depth, left), _decode(each, depth, left)) for key, each in content]
        _check_hashes([key for key, _ in pairs], left)
        return dict(pairs)
    if isinstance(content, str):
        if kind == "int":
            return int(content, 16)
        if kind == "float":
            return float.fromhex(content)
        if kind == "bytes":
            return bytes.fromhex(content)
    if isinstance(content, list):
        if kind == "complex":
            real, imaginary = content
            return complex(float.fromhex(real), float.fromhex(imaginary))
        members: list[Any] = [_decode(each, depth, left) for each in content]
        if kind == "tuple":
            return tuple(members)
        if kind == "range":
            start, stop, step = members
            return range(start, stop, step)
        _check_hashes(members, left)
        if kind == "set":
            return set(members)
        if kind == "frozenset":
            return frozenset(members)
    raise ValueRefused(f"no type of value: {kind!r}")


def _check_hashes(members: list[object], left: list[int]) -> None:
    """ValueRefused if a table of them could take more than proportional time to build."""
    others = [each for each in members if not isinstance(each, str | bytes)]
    if len(others) >= _LARGE:
        left[0] -= len(others)
        if left[0] < 0:
            raise ValueRefused(f"sets and dicts of more than {MAX_MEMBERS} members that are no text")
    hashes = sorted(map(hash, others))
    if any(one == other for one, other in zip(hashes, hashes[_ALIKE:])):
        raise ValueRefused(f"more than {_ALIKE} members of a set or dict have the same hash")
