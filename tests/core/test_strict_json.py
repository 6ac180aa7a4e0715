"""What JSON leaves open is refused."""

import json

import pytest

from reprise.core.strict_json import KeyTwice, deeper, no_constant, unique_keys


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 0, "a": 1}}]'])
def test_a_key_that_stands_twice_is_named(text: str) -> None:
    with pytest.raises(KeyTwice, match="the key 'a' occurs twice in an object") as error:
        json.loads(text, object_pairs_hook=unique_keys)
    assert error.value.key == "a"


def test_objects_with_different_keys_are_read_as_ever() -> None:
    text = '{"a": {"a": [1, {"a": null}]}, "b": {}}'
    assert json.loads(text, object_pairs_hook=unique_keys) == json.loads(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_what_is_no_number_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        json.loads(text, parse_constant=no_constant)


@pytest.mark.parametrize(("value", "depth"), [(1, 0), ([], 1), ({"a": 1}, 1), ([[1], {"a": [2]}], 3)])
def test_depth_is_that_of_lists_and_objects_within_one_another(value: object, depth: int) -> None:
    assert not deeper(value, depth)
    assert depth == 0 or deeper(value, depth - 1)
