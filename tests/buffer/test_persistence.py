from __future__ import annotations

import json

import numpy as np
from small_groups import INFRA_ERROR, UNPARSEABLE, group, plain

from reprise.buffer.advantages import group_advantages
from reprise.buffer.persistence import group_from_plain, group_to_plain
from reprise.core.types import Group, Trajectory


def test_a_group_round_trips_exactly() -> None:
    raw = group("g", (0.1, 1.0, UNPARSEABLE, INFRA_ERROR, None), start=1, versions=(1, 2), truncated=[2])
    again = group_from_plain(group_to_plain(raw))
    assert isinstance(again, Group)
    assert all(isinstance(t, Trajectory) for t in again.trajectories)
    assert again.task == raw.task
    assert [t.verdict for t in again.trajectories] == [t.verdict for t in raw.trajectories]
    assert [t.finish_reason for t in again.trajectories] == [t.finish_reason for t in raw.trajectories]
    assert plain(group_to_plain(again)) == plain(group_to_plain(raw))


def test_advantages_and_weights_round_trip() -> None:
    made = group_advantages(group("g", (0.0, 1.0, UNPARSEABLE)), normalize_std=True, truncated="keep")
    again = group_from_plain(group_to_plain(made))
    np.testing.assert_array_equal(again.advantages, made.advantages)
    np.testing.assert_array_equal(again.weighted, made.weighted)


def test_the_plain_form_holds_nothing_but_plain_values_and_arrays() -> None:
    json.dumps(group_to_plain(group("g", (0.5, UNPARSEABLE))), default=np.ndarray.tolist)
