from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reprise.core.errors import UserError
from reprise.core.types import FinishReason, Trajectory
from reprise.learner.packing import Cost, document, imbalance, padding_share, plan, require_fits
from reprise.learner.rows import pack

COST = Cost(per_token=100.0, per_pair=1.0)
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=60)


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int32)


@given(LENGTHS, st.integers(1, 5), st.integers(60, 300))
def test_every_document_is_planned_once_and_every_row_keeps_the_budget(
    lengths: list[int], ranks: int, budget: int
) -> None:
    layout = plan(lengths, ranks, budget, COST)
    assert sorted(i for rank in layout for row in rank for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= budget for rank in layout for row in rank)


@given(LENGTHS, st.integers(1, 5), st.integers(60, 300))
def test_rows_run_from_the_costliest_to_the_cheapest(lengths: list[int], ranks: int, budget: int) -> None:
    for rank in plan(lengths, ranks, budget, COST):
        costs = [sum(COST(lengths[i]) for i in row) for row in rank]
        assert costs == sorted(costs, reverse=True)


@given(LENGTHS, st.integers(60, 300))
def test_no_two_rows_of_a_rank_would_fit_in_one(lengths: list[int], budget: int) -> None:
    filled = sorted(sum(lengths[i] for i in row) for row in plan(lengths, 1, budget, COST)[0])
    assert all(a + b > budget for a, b in pairwise(filled))


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


def test_padding_is_what_rounds_rows_up_to_equal_shares() -> None:
    assert padding_share([[[0, 1]], [[2], []][:1]], [10, 5, 7], 1) == 0
    assert padding_share([[[0, 1]], [[2]]], [10, 5, 7], 4) == pytest.approx(1 - 22 / 24)
    assert padding_share([[[0], []]], [10], 2) == pytest.approx(1 - 10 / 12), "an empty row is a token a rank"


def test_imbalance_is_the_most_loaded_rank_over_the_mean() -> None:
    linear = Cost(per_token=1.0, per_pair=0.0)
    assert imbalance([[[0]], [[1]]], [30, 10], linear) == pytest.approx(0.5)
    assert imbalance([[[0]], [[1]]], [20, 20], linear) == 0


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shares_of_a_row_put_together_are_the_row(ranks: int) -> None:
    first = document(ints(1, 2), ints(3, 4, 5), np.asarray([True, False, True]))
    second = document(ints(6), ints(7, 8))
    shares = [pack([first, second], torch.device("cpu"), rank, ranks) for rank in range(ranks)]
    width = shares[0].input_ids.shape[1]
    assert all(s.input_ids.shape == s.position_ids.shape == (1, width) for s in shares)
    padding = width * ranks - 6
    joined = torch.cat([s.input_ids[0] for s in shares]).tolist()
    assert joined == [1, 2, 3, 4, 6, 7] + [0] * padding  # nothing is predicted from the last tokens
    positions = torch.cat([s.position_ids[0] for s in shares]).tolist()
    assert positions == [0, 1, 2, 3, 0, 1, *range(padding)]
    predicted_from = [rank * width + p for rank, s in enumerate(shares) for p in s.predictors.tolist()]
    assert predicted_from == [1, 3, 4, 5]
    assert [t for s in shares for t in s.targets.tolist()] == [3, 5, 7, 8]
    assert [d for s in shares for d in s.documents.tolist()] == [0, 0, 1, 1]
    assert [i for s in shares for i in range(4)[s.held]] == [0, 1, 2, 3]
    assert all(s.layout.lengths == [4, 2] + [padding] * bool(padding) for s in shares)


def test_an_empty_row_is_one_token_a_rank_without_a_target() -> None:
    for rank in range(2):
        batch = pack([], torch.device("cpu"), rank, 2)
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
