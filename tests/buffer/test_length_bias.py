"""Reuse does not prefer short responses: passes by length quartile, in simulated runs of the real rules."""

from __future__ import annotations

import pytest
from simulated_run import simulate


@pytest.mark.parametrize(
    ("max_staleness", "concurrent", "fresh_fraction", "max_uses", "max_age"),
    [
        (4, 16, 0.75, 2, 4),  # fewer slots than the 24 fresh groups of a batch
        (2, 24, 0.75, 2, 2),  # as many
        (2, 48, 0.5, 3, 1),
    ],
)
def test_long_groups_are_passed_over_as_often_as_short_ones(
    max_staleness: int, concurrent: int, fresh_fraction: float, max_uses: int, max_age: int
) -> None:
    """Rewards vary alike; lengths are lognormal, and a group takes as long as it is long."""
    ran = simulate(
        batch_groups=32,
        fresh_fraction=fresh_fraction,
        max_uses=max_uses,
        max_age=max_age,
        max_staleness=max_staleness,
        concurrent=concurrent,
        learn=0.2,
        batches=150,
    )
    passes = ran.passes_by_quartile(skip=200)
    mean = sum(passes) / 4
    assert mean > 1.2, "there is reuse"
    assert passes == pytest.approx([mean] * 4, rel=0.03)
