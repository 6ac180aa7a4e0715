"""Settings under which reuse does not happen, or less than asked for: said, and true of the buffer itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from simulated_run import simulate
from small_groups import settings

from reprise.buffer.reuse_notes import reuse_notes


def notes(epochs: int = 1, max_staleness: int = 2, **changes: Any) -> list[str]:
    return reuse_notes(settings(**changes), epochs, max_staleness)


def test_plain_settings_need_no_note() -> None:
    assert notes() == []
    assert notes(fresh_fraction=1.0, max_uses=1) == []
    assert notes(fresh_fraction=1.0, max_uses=2, epochs=2) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fresh_fraction": 1.0, "max_uses": 2}, "Nothing is reused: buffer.fresh_fraction is 1"),
        ({"fresh_fraction": 0.9}, "Nothing is reused: buffer.fresh_fraction 0.9 of buffer.batch_groups 4, rounded up"),
        ({"fresh_fraction": 0.25}, r"at most 2 groups .*batch_groups 4.* in at most 1 more \(buffer.reuse.max_uses\)"),
        ({"fresh_fraction": 0.25, "max_uses": 9, "max_age": 2}, r"at most 3 .* 2 more \(buffer.reuse.max_age\)"),
        ({"max_groups": 7}, r"max_groups 7 leaves less than the 2 .* \+ 1\) x 2 = 6 fresh ones may wait"),
    ],
)
def test_settings_that_leave_reuse_out_are_named(changes: dict[str, Any], said: str) -> None:
    (note,) = notes(**changes)
    assert re.search(said, note)


@pytest.mark.parametrize("max_age", [1, 2])
@pytest.mark.parametrize("max_staleness", [2, 4])
def test_an_age_below_the_staleness_switches_no_reuse_off(max_staleness: int, max_age: int) -> None:
    """Fresh groups of any age may be reused, since a group's age counts from its first batch."""
    ran = simulate(
        batch_groups=8,
        fresh_fraction=0.5,
        max_uses=2,
        max_age=max_age,
        max_staleness=max_staleness,
        concurrent=16,
        learn=2.0,
        batches=20,
    )
    assert max(ran.ages) >= max_age
    assert ran.reused[1:] == [4] * 19
