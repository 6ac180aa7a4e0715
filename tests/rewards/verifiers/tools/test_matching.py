"""What counts as a right call."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_tasks import JSON, ROME, call, wrong

from reprise.rewards.verifiers.tools.matching import Expected, mismatch
from reprise.rewards.verifiers.tools.parsing import Call


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        (call("weather", {"city": "Rome", "radius": 5}), call("weather", {"city": "Rome", "radius": 5.0})),
        (call("weather", {"city": "Rome"}), call("weather", {"city": "Rome", "unit": "C"})),
        (call("weather", {"city": "Rome", "unit": "C"}), call("weather", {"city": "Rome"})),
        (call("weather", {"city": "Rome", "unit": "F"}, optional=["unit"]), call("weather", {"city": "Rome"})),
        (call("weather", {}, accept={"city": ["NYC", "New York"]}), call("weather", {"city": "New York"})),
        (call("weather", {"city": "NYC"}, accept={"city": ["New York"]}), call("weather", {"city": "NYC"})),
        (call("weather", {"city": "NYC"}, accept={"city": ["New York"]}), call("weather", {"city": "New York"})),
        (call("add", {"xs": [1, 2]}), call("add", {"xs": [1.0, 2]})),
        (call("now"), call("now")),
    ],
)
def test_a_call_that_means_the_same_is_right(expected: dict[str, Any], made: dict[str, Any]) -> None:
    assert wrong([expected], [made]) == ""


@pytest.mark.parametrize(
    ("expected", "made", "what"),
    [
        (ROME, call("weather", {"city": "rome"}), "argument 'city': 'rome'"),
        (ROME, call("weather", {"city": "Rome", "unit": "F"}), "argument 'unit': is not expected and not its default"),
        (ROME, call("weather", {"city": "Rome", "days": 1}), "argument 'days': is not expected"),
        (call("weather", {"city": "Rome", "days": 1}), ROME, "argument 'days' is missing"),
        (call("weather", {"city": "Rome", "unit": "F"}), ROME, "argument 'unit' is missing"),
        (ROME, call("weather"), "'city' is a required property"),
        (ROME, call("weather", {"city": 5}), r"\['city'\] 5 is not of type 'string'"),
        (call("weather", {"city": "5"}), call("weather", {"city": 5}), "is not of type 'string'"),
        (ROME, call("weather", {"city": "Rome", "unit": "K"}), "is not one of"),
        (
            call("weather", {"city": "Rome", "days": 5}),
            call("weather", {"city": "Rome", "days": 5.0}),
            "argument 'days'",
        ),
        (call("weather", {"city": "Rome", "days": 1}), call("weather", {"city": "Rome", "days": True}), "'integer'"),
        (call("add", {"xs": [1, 2]}), call("add", {"xs": [2, 1]}), "argument 'xs'"),
        (call("add", {"xs": [1, 2]}), call("add", {"xs": [1]}), "argument 'xs'"),
        (call("now"), call("now", {"zone": "CET"}), "Additional properties are not allowed"),
        (ROME, call("now"), "'now' where 'weather' is expected|is expected less often"),
        (call("weather", {}, accept={"city": ["NYC", "New York"]}), call("weather", {"city": ["NYC"]}), "'string'"),
    ],
)
def test_a_call_that_means_something_else_is_wrong(expected: dict[str, Any], made: dict[str, Any], what: str) -> None:
    assert re.search(what, wrong([expected], [made]))


FREE = {"type": "object"}


@pytest.mark.parametrize(
    ("expected", "made", "equal"),
    [
        (1, True, False),
        (0, False, False),
        (1, 1.0, False),
        ("5", 5, False),
        (None, False, False),
        (None, None, True),
        ([], {}, False),
        ({"a": 1, "b": [True]}, {"b": [True], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (0.1, 0.1000, True),
        (2**60, 2**60 + 1, False),
    ],
)
def test_values_are_compared_by_type(expected: Any, made: Any, equal: bool) -> None:
    found = mismatch([Expected("f", {"x": expected})], [Call("f", {"x": made})], {"f": FREE}, False, "exact")
    assert (found == "") is equal


NESTED = {
    "type": "object",
    "properties": {
        "route": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"$ref": "#/$defs/point"}},
        "n": {"anyOf": [{"type": ["number", "null"]}, {"type": "string"}]},
    },
    "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}, "n": {"type": "integer"}}}},
}


@pytest.mark.parametrize(
    ("expected", "made", "equal"),
    [
        ({"route": ["a", {"x": 1}]}, {"route": ["a", {"x": 1.0}]}, True),
        ({"route": ["a", {"n": 1}]}, {"route": ["a", {"n": 1.0}]}, False),
        ({"n": 1}, {"n": 1.0}, True),
    ],
)
def test_whether_5_is_5_0_is_looked_up_at_the_place_in_the_schema(
    expected: dict[str, Any], made: dict[str, Any], equal: bool
) -> None:
    assert (mismatch([Expected("f", expected)], [Call("f", made)], {"f": NESTED}, False, "exact") == "") is equal


def test_strings_compare_as_bfcl_does_only_if_asked() -> None:
    expected, made = call("weather", {"city": "New York, U.S."}), call("weather", {"city": "new-york us"})
    assert wrong([expected], [made]) != ""
    assert wrong([expected], [made], strings="bfcl") == ""
    assert wrong([expected], [call("weather", {"city": "new york uk"})], strings="bfcl") != ""


def test_parallel_calls_may_come_in_any_order_unless_an_order_is_asked_for() -> None:
    oslo = call("weather", {"city": "Oslo"})
    assert wrong([ROME, oslo, call("now")], [call("now"), oslo, ROME]) == ""
    assert wrong([ROME, oslo], [oslo, ROME], ordered=True) == "call 0: argument 'city': 'Oslo'"
    assert wrong([ROME, oslo], [ROME, oslo], ordered=True) == ""
    assert wrong([ROME, oslo], [ROME, ROME]) == "call 1: argument 'city': 'Rome'"
    assert wrong([ROME, ROME], [ROME, ROME]) == ""


def test_calls_are_paired_so_that_as_many_as_possible_are_right() -> None:
    either = call("weather", {}, accept={"city": ["Rome", "Oslo"]})
    assert wrong([either, ROME], [ROME, call("weather", {"city": "Oslo"})]) == ""
    assert wrong([ROME, either], [call("weather", {"city": "Oslo"}), ROME]) == ""


@given(st.data())
def test_any_order_of_any_calls_is_right_and_one_call_changed_is_not(data: st.DataObject) -> None:
    arguments = st.fixed_dictionaries({"x": JSON}, optional={"y": JSON})
    calls = data.draw(st.lists(st.builds(Call, st.sampled_from("fg"), arguments), min_size=1, max_size=4))
    shuffled = data.draw(st.permutations(calls))
    functions = {"f": FREE, "g": FREE}
    expected = [Expected(each.name, each.arguments) for each in calls]
    assert mismatch(expected, shuffled, functions, False, "exact") == ""
    changed = [*shuffled[:-1], Call(shuffled[-1].name, {**shuffled[-1].arguments, "x": [shuffled[-1].arguments["x"]]})]
    assert mismatch(expected, changed, functions, False, "exact") != ""
