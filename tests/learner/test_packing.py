from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from buffer.errors import UserError
from buffer.types import FinishReason, Trajectory
from learner.packing import Cost, document, pack, padding_share, plan, require_fits

COST = Cost(per_token=100.0, per_pair=1.0)
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=60)


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int32)


@given(LENGTHS, st.integers(1, 5), st.integers(60, 300))
def test_every_document_is_planned_once_and_every_micro_batch_keeps_the_budget(
    lengths: list[int], world_size: int, budget: int
) -> None:
    layout = plan(lengths, world_size, budget, COST)
    assert sorted(i for rank in layout for micro in rank for i in micro) == list(range(len(lengths)))
    for rank in layout:
        for micro in rank:
            assert not micro or len(micro) * max(lengths[i] for i in micro) <= budget


@given(LENGTHS, st.integers(1, 5), st.integers(60, 300))
def test_every_rank_has_as_many_micro_batches_as_the_others(lengths: list[int], world_size: int, budget: int) -> None:
    layout = plan(lengths, world_size, budget, COST)
    assert len(layout) == world_size
    assert len({len(rank) for rank in layout}) == 1
    assert any(rank[-1] for rank in layout), "no rank needed that many"


@given(LENGTHS, st.integers(1, 5))
def test_no_rank_exceeds_the_mean_cost_by_more_than_one_document(lengths: list[int], world_size: int) -> None:
    layout = plan(lengths, world_size, 300, COST)
    loads = [sum(COST(lengths[i]) for micro in rank for i in micro) for rank in layout]
    assert max(loads) <= sum(loads) / world_size + max(COST(n) for n in lengths)


def test_cost_and_not_tokens_are_balanced() -> None:
    quadratic = Cost(per_token=0.0, per_pair=1.0)
    layout = plan([100, 50, 50, 50, 50], 2, 1000, quadratic)  # one long document costs as much as four of half length
    assert [sorted(i for micro in rank for i in micro) for rank in layout] == [[0], [1, 2, 3, 4]]


def test_like_lengths_share_a_micro_batch_so_little_is_padding() -> None:
    lengths = np.random.default_rng(0).integers(20, 120, 512).tolist()
    assert padding_share(plan(lengths, 2, 4096, COST), lengths) < 0.12
    assert padding_share([[[0, 1]]], [10, 5]) == pytest.approx(0.25)


def test_a_micro_batch_predicts_exactly_the_wanted_response_tokens() -> None:
    first = document(ints(1, 2), ints(3, 4, 5), np.asarray([True, False, True]))
    second = document(ints(6), ints(7))
    batch = pack([first, second], torch.device("cpu"))
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 6]]  # nothing is predicted from the last tokens
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0]]
    assert batch.predictors.tolist() == [1, 3, 4]
    assert batch.targets.tolist() == [3, 5, 7]
    assert batch.rectangle.shape == (2, 4)
    assert batch.rectangle.flatten()[batch.row_slots].tolist() == [0, 1, 2, 3, 4]


def test_an_empty_micro_batch_is_one_token_without_a_target() -> None:
    batch = pack([], torch.device("cpu"))
    assert batch.input_ids.shape == (1, 1)
    assert batch.predictors.dtype == torch.int64
    assert len(batch.predictors) == len(batch.targets) == 0


def test_a_trajectory_above_the_budget_is_refused_with_task_and_lengths() -> None:
    n = 90
    long = Trajectory(
        "sum-17", "sum-17#0", np.zeros(20, np.int32), np.zeros(n, np.int32), np.zeros(n, np.float32),
        np.zeros(n, np.int32), np.ones(n, bool), FinishReason.STOP,
    )  # fmt: skip
    require_fits([long], 110)
    with pytest.raises(UserError, match=r"'sum-17'.*20 prompt \+ 90 response.*token_budget 109.*at least 110"):
        require_fits([long], 109)


def test_a_document_needs_a_prompt() -> None:
    with pytest.raises(UserError, match="at least one prompt token"):
        document(ints(), ints(1))
