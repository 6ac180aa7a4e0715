"""Which engine takes the next request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.rollout.routing import LeastLoaded


def test_work_goes_to_the_least_loaded_engine() -> None:
    routing = LeastLoaded(2)
    assert [routing.assign(8), routing.assign(4), routing.assign(4), routing.assign(1)] == [0, 1, 1, 0]
    routing.done(0, 8)
    assert routing.assign(8) == 0


@given(engines=st.integers(1, 5), sizes=st.lists(st.integers(1, 64), max_size=60))
def test_no_engine_has_more_than_one_request_above_another(engines: int, sizes: list[int]) -> None:
    routing = LeastLoaded(engines)
    for size in sizes:
        routing.assign(size)
    assert max(routing.load) - min(routing.load) <= max(sizes, default=0)
    assert sum(routing.load) == sum(sizes)


def test_giving_back_more_than_was_taken_is_refused() -> None:
    routing = LeastLoaded(1)
    routing.assign(3)
    with pytest.raises(ValueError, match="engine 0 has 3 responses in flight, not 4"):
        routing.done(0, 4)
