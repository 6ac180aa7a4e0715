"""What enters or leaves the sandbox arrives as it was, and nothing else arrives."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.sandbox.inside.values import MAX_DEPTH, MAX_MEMBERS, ValueRefused, decode, encode

HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE | st.complex_numbers(allow_nan=False) | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(HASHABLE, inner, max_size=3),
    max_leaves=10,
)


def shape(value: Any) -> Any:
    """The value with every type in sight, since 1 == True == 1.0."""
    if isinstance(value, dict):
        return dict, [(shape(k), shape(v)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [shape(each) for each in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(shape, value)))
    return type(value), repr(value)


@given(VALUES)
def test_a_value_arrives_with_its_types(value: Any) -> None:
    assert shape(decode(json.loads(json.dumps(encode(value))))) == shape(value)


def test_nan_and_infinities_arrive() -> None:
    nan, low = decode(encode([math.nan, -math.inf]))
    assert math.isnan(nan)
    assert low == -math.inf


class Colour(IntEnum):
    RED = 3


class Point(NamedTuple):
    x: int
    y: int


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, 3),
        (Liar(7), 7),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
        (np.int64(5), 5),
        (np.float32(0.5), 0.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.bool_(True), True),
        (range(5, 0, -2), range(5, 0, -2)),
        (range(10**30), range(10**30)),
    ],
)
def test_a_subclass_arrives_as_what_it_extends(value: Any, plain: Any) -> None:
    assert shape(decode(encode(value))) == shape(plain)


@pytest.mark.parametrize("value", [object(), lambda: 0, iter([1]), {1: object()}, [map(len, [])]])
def test_what_is_no_plain_value_cannot_leave(value: Any) -> None:
    with pytest.raises(ValueRefused, match="cannot leave"):
        encode(value)


def test_a_value_nested_too_deeply_cannot_leave() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(ValueRefused, match="nested"):
        encode(value)


def test_whatever_leaves_can_come_back_in_and_nothing_deeper() -> None:
    value: Any = {1: ({2},)}
    for _ in range(MAX_DEPTH - 3):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(ValueRefused, match="nested deeper than"):
        encode([value])
    with pytest.raises(ValueRefused, match="nested deeper than"):
        decode([encode(value)])


MERSENNE = 2**61 - 1  # integers hash by their remainder


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([{"int": f"{k * MERSENNE:x}"} for k in range(1, 60)], "same hash"),
        ([{"tuple": [{"int": f"{k * MERSENNE:x}"}]} for k in range(1, 60)], "same hash"),
        (list(range(MAX_MEMBERS + 1)), "more than 20000 members"),
    ],
)
def test_members_that_could_make_a_table_slow_are_refused(members: list[Any], message: str) -> None:
    for plain in ({"set": members}, {"frozenset": members}, {"dict": [[member, 1] for member in members]}):
        with pytest.raises(ValueRefused, match=message):
            decode(plain)


def test_the_bound_is_for_all_of_a_value() -> None:
    table = {"set": list(range(MAX_MEMBERS // 4))}
    assert len(decode([table] * 4)) == 4
    with pytest.raises(ValueRefused, match="more than 20000 members"):
        decode([table] * 5)
    assert len(decode([{"set": list(range(900))}] * 50)) == 50


def test_a_table_of_many_texts_arrives() -> None:
    words = {str(number): number for number in range(MAX_MEMBERS + 1)}
    assert decode(encode(words)) == words


@pytest.mark.parametrize(
    "plain",
    [
        {"range": [0, 1]},
        {"range": [0, 1, 0]},
        {"range": [0, {"float": "0x1p0"}, 1]},
        {},
        {"int": 5},
        {"int": "zz"},
        {"float": "many"},
        {"float": "0x1p99999"},
        {"tuple": "ab"},
        {"dict": [[1]]},
        {"dict": [[[1], 2]]},
        {"set": [[1]]},
        {"bytes": "0"},
        {"complex": ["0x1p0"]},
        {"object": "x"},
        {"int": "1", "float": "0x1p0"},
        1 << 60,
        1.5,
    ],
)
def test_what_is_no_value_is_refused(plain: Any) -> None:
    with pytest.raises(ValueRefused):
        decode(plain)
