"""What the lead does to a run: fresh groups are younger where engines outrun the learner, and it is kept as busy."""

from __future__ import annotations

import pytest
from simulated_run import Simulated, simulate

from reprise.rollout.lead import Lead


def ran(learn: float, spread: float) -> Simulated:
    return simulate(
        batch_groups=24,
        fresh_fraction=1.0,
        max_uses=1,
        max_age=1,
        max_staleness=4,
        concurrent=24,
        learn=learn,
        spread=spread,
        batches=100,
    )


def mean_age(of: Simulated) -> float:
    return sum(of.ages[50:]) / 50


@pytest.mark.parametrize(
    ("learn", "spread", "younger_by"),
    [
        (4.0, 0.4, 2.5),  # engines could do four times as much
        (2.0, 0.4, 1.2),
        (1.0, 1.0, 0.0),  # engines are the bottleneck, and stragglers have the learner wait
    ],
)
def test_groups_start_no_earlier_than_needed(
    learn: float, spread: float, younger_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lead = ran(learn, spread)
    monkeypatch.setattr(Lead, "taken", lambda self, waited, left: None)
    always_most = ran(learn, spread)
    assert mean_age(with_lead) <= mean_age(always_most) - younger_by + 0.05
    assert with_lead.time <= 1.02 * always_most.time
