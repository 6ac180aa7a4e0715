"""Log-probabilities that no sampled token can have: such a trajectory is masked and counted, and its group goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_groups import group, settings

from reprise.buffer.advantages import Reason
from reprise.buffer.trajectory_buffer import TrajectoryBuffer
from reprise.core.errors import Starvation
from reprise.core.types import Group


def recorded(first_logprob: float, members: int = 1, trainable: bool = True) -> Group:
    """A group of three with scores 0, 1 and 1, whose first members' second token has this log-probability."""
    made = group("a", (0.0, 1.0, 1.0), versions=(0, 0, 0))
    odd = [
        replace(
            t,
            behaviour_logprobs=np.array([-0.5, first_logprob, -0.5], np.float32),
            trainable=np.array([True, trainable, True]),
        )
        for t in made.trajectories[:members]
    ]
    return replace(made, trajectories=(*odd, *made.trajectories[members:]))


@pytest.mark.parametrize("logprob", [-np.inf, np.inf, np.nan, 0.5])
def test_a_trajectory_whose_log_probabilities_cannot_be_is_masked_and_counted(logprob: float) -> None:
    buffer = TrajectoryBuffer(settings(batch_groups=1, fresh_fraction=1.0), seed=0)
    assert buffer.add(recorded(logprob)) is None
    batch = buffer.take(0, ["a"])
    (taken,) = batch.groups
    assert taken.weighted is not None
    assert taken.advantages is not None
    assert taken.weighted.tolist() == [False, True, True]
    assert taken.advantages[0] == 0
    assert (taken.advantages[1:] > 0).all(), "its score stays in the baseline: the others are better than it"
    assert batch.metrics["trajectories/invalid_logprobs"] == 1
    assert batch.metrics["trajectories/trained"] == 2


@pytest.mark.parametrize("logprob", [0.0, 1e-6, -80.0])
def test_certain_and_unlikely_tokens_are_trained_on(logprob: float) -> None:
    buffer = TrajectoryBuffer(settings(batch_groups=1, fresh_fraction=1.0), seed=0)
    buffer.add(recorded(logprob))
    assert buffer.counters()["trajectories/invalid_logprobs"] == 0


def test_tokens_that_are_not_trained_on_may_have_any() -> None:
    buffer = TrajectoryBuffer(settings(batch_groups=1, fresh_fraction=1.0), seed=0)
    buffer.add(recorded(-np.inf, trainable=False))
    assert buffer.counters()["trajectories/invalid_logprobs"] == 0


def test_an_engine_that_records_nothing_else_ends_the_run_with_that_cause() -> None:
    buffer = TrajectoryBuffer(settings(starvation_groups=2), seed=0)
    assert buffer.add(recorded(np.nan, members=3)) == Reason.ALL_MASKED
    with pytest.raises(Starvation, match=r"not finite or above 0 for 6 of them.*see policy.dtype"):
        buffer.add(recorded(np.nan, members=3))
