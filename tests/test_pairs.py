from __future__ import annotations

from collections.abc import Hashable
from itertools import product

import pytest
from pairs import covering, every_pair, pairs_of

CASES: dict[str, list[tuple[Hashable, ...]]] = {
    "two factors": list(product("ab", "xyz")),
    "layouts, stages, packings and objectives": list(product([(1, 1), (2, 1), (1, 2)], [1, 2, 3], [32, 4096], "ab")),
    "some combinations only": [
        case for case in product("abc", [1, 2, 3], "xy", [False, True]) if case[1] != 3 or case[3]
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_every_pair_of_values_is_in_a_chosen_case(name: str) -> None:
    cases = CASES[name]
    chosen = [cases[i] for i in covering(cases)]
    pairs = {pair for case in cases for pair in pairs_of(case)}
    assert {pair for case in chosen for pair in pairs_of(case)} == pairs
    assert len(set(chosen)) == len(chosen)


def test_of_four_factors_a_fraction_is_enough_and_of_two_all_are_needed() -> None:
    assert len(covering(CASES["layouts, stages, packings and objectives"])) <= 10 < 36
    assert len(covering(CASES["two factors"])) == 6


def test_the_cases_that_no_pair_needs_are_left_to_the_full_run() -> None:
    cases = CASES["some combinations only"]
    parameters = every_pair(cases)
    assert [parameter.values for parameter in parameters] == cases
    left_out = {i for i, parameter in enumerate(parameters) if any(mark.name == "full" for mark in parameter.marks)}
    assert left_out == set(range(len(cases))) - set(covering(cases))
