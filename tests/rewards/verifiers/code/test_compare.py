"""The rules by which an output is the expected one."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.rewards.verifiers.code.compare import Tolerance, same_text, same_value

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expected", "actual"),
    [("6", "6\n"), ("6\n", "6"), ("a b", "a b   \n\n\n"), ("a\nb", "a  \nb\n"), ("", "\n \n"), ("a\nb", "a\r\nb\r\n")],
)
def test_white_space_at_the_end_is_ignored(expected: str, actual: str) -> None:
    assert same_text(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("6", "6.0"),
        ("6", "06"),
        ("6", " 6"),
        ("a b", "a  b"),
        ("a\nb", "a b"),
        ("a", "A"),
        ("a\n\nb", "a\nb"),
        ("1", ""),
    ],
)
def test_other_text_is_compared_exactly(expected: str, actual: str) -> None:
    assert not same_text(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("0.333333", "0.3333333", True),
        ("0.33", "0.34", False),
        ("yes 1.0", "yes 1", True),
        ("yes 1.0", "no 1", False),
        ("1 2", "1", False),
        ("1\n2", "1 2", False),
        ("nan", "nan", True),  # as text it is the same
        ("nan", "NaN", False),
        ("90", "9_0", False),
        ("12", "١٢", False),
        (".5", "5e-1", True),
        ("inf", "1e999", False),
        ("1e999", "inf", False),
    ],
)
def test_a_tolerance_is_for_finite_numbers_only(expected: str, actual: str, same: bool) -> None:
    assert same_text(expected, actual, Tolerance(1e-4, 1e-4)) is same


@pytest.mark.timeout(60)  # quadratic time would take hours
@pytest.mark.parametrize("actual", ["1" * 10**6 + "x", "." + "1" * 10**6 + "x", "1." + "1" * 10**6 + "e"])
def test_a_long_word_that_is_no_number_is_seen_to_be_none_in_time(actual: str) -> None:
    """Seen before: quadratic, days for 4 MB of output."""
    assert not same_text("2.5", actual, Tolerance(1e-4, 1e-4))


SAME: list[tuple[object, object]] = [
    (2, 2.0),
    (10**20, 1e20),
    ("a", "a"),
    (None, None),
    (True, True),
    ([1, [2]], [1.0, [2]]),
    (INF, INF),
]
SAME += [({"a": 1}, {"a": 1.0}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([], []), (0, -0.0), (b"x", b"x"), ({1}, {1.0})]
DIFFERENT: list[tuple[object, object]] = [
    (1, True),
    (0, False),
    (True, 1),
    (False, 0.0),
    ("1", 1),
    (None, 0),
    (None, False),
    ("", None),
]
DIFFERENT += [(NAN, NAN), ([NAN], [NAN]), ([1], [1, 1]), ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), ({"a": 1}, {})]
DIFFERENT += [([1], [True]), ({"a": 1}, {"a": True}), ([1, 2], {1, 2}), (2**53, 2.0**53 + 2), ("a", b"a"), ([], None)]


@pytest.mark.parametrize("from_json", [True, False])
@pytest.mark.parametrize(("expected", "actual"), SAME)
def test_equal_values(expected: Any, actual: Any, from_json: bool) -> None:
    assert same_value(expected, actual, from_json=from_json)


@pytest.mark.parametrize("from_json", [True, False])
@pytest.mark.parametrize(("expected", "actual"), DIFFERENT)
def test_different_values(expected: Any, actual: Any, from_json: bool) -> None:
    assert not same_value(expected, actual, from_json=from_json)


@pytest.mark.parametrize(
    ("expected", "actual", "json", "python"),
    [
        ([1, 2], (1, 2), True, False),
        ([[1]], [(1,)], True, False),
        ((1, 2), (1, 2), True, True),
        ((1, 2), [1, 2], False, False),
        ({"1": 2}, {1: 2}, True, False),
        ({"true": 2}, {True: 2}, True, False),
        ({"null": 2}, {None: 2}, True, False),
        ({"1": 2}, {1: 2, "1": 2}, False, False),
        ({"1": 2}, {(1,): 2}, False, False),
        ({1}, {True}, False, False),
        ({1: 2}, {True: 2}, False, False),
        ({1, 2}, frozenset([1, 2]), True, True),
    ],
)
def test_json_has_no_tuples_and_no_keys_but_strings(expected: Any, actual: Any, json: bool, python: bool) -> None:
    assert same_value(expected, actual, from_json=True) is json
    assert same_value(expected, actual, from_json=False) is python


HUGE = 10**5000


MANY_DIGITS = [HUGE, {HUGE: 1}, {"a": HUGE}, [HUGE], {(HUGE,): 1}, {2.0: HUGE}, range(HUGE)]


@pytest.mark.parametrize("actual", MANY_DIGITS, ids=range(len(MANY_DIGITS)))
@pytest.mark.parametrize("expected", [1, 1.5, {"a": 1}, [1.5], "a", None, True])
@pytest.mark.parametrize("tolerance", [Tolerance(), Tolerance(0.1, 0.1)])
def test_numbers_of_many_digits_are_compared_like_others(expected: Any, actual: Any, tolerance: Tolerance) -> None:
    for from_json in (True, False):
        assert not same_value(expected, actual, from_json=from_json, tolerance=tolerance)


def test_numbers_in_values_may_differ_by_a_tolerance_but_keys_and_members_may_not() -> None:
    tolerance = Tolerance(absolute=0.1)
    assert same_value([1, {"a": 2.0}], [1.05, {"a": 1.95}], from_json=True, tolerance=tolerance)
    assert not same_value([1], [1.2], from_json=True, tolerance=tolerance)
    assert not same_value({1.0}, {1.05}, from_json=False, tolerance=tolerance)
    assert not same_value([1], [True], from_json=True, tolerance=tolerance)
    assert not same_value(NAN, NAN, from_json=True, tolerance=tolerance)
    assert not same_value(INF, 1e300, from_json=True, tolerance=tolerance)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_a_value_without_nan_equals_itself(value: Any) -> None:
    assert same_value(value, value, from_json=True)
    assert same_value(value, value, from_json=False)


@given(JSON, JSON)
def test_comparison_is_symmetric_between_json_values(a: Any, b: Any) -> None:
    assert same_value(a, b, from_json=True) == same_value(b, a, from_json=True)
