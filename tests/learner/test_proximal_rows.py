"""π_prox is computed in the rows of the steps to come: before the first update a ratio is 1, not nearly 1."""

from __future__ import annotations

from pathlib import Path

import batches
import pytest
import rank_jobs
from rank_pool import RankPool

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("world_size", "sequence_parallel", "stage"), [(1, 1, 1), (2, 1, 3), (2, 2, 1)])
def test_no_ratio_of_bfloat16_differs_from_one_before_the_first_update(
    pools: dict[int, RankPool], folder: Path, world_size: int, sequence_parallel: int, stage: int
) -> None:
    """The learning rate is too small to move a weight; gspo clips at 3e-4, bfloat16 in other rows differs by more."""
    settings = batches.settings(
        world_size=world_size, sequence_parallel=sequence_parallel, zero_stage=stage, token_budget=80,
        loss="gspo", clip_low=None, clip_high=None, minibatches=3, lr=1e-30,
    )  # fmt: skip
    batch = batches.ragged_batch(folder, 11, 1.0)
    for metrics in pools[world_size].run(
        rank_jobs.metrics_of_a_batch, settings=settings, folder=folder, batch=batch, dtype="bfloat16"
    ):
        assert metrics["policy/ratio_max"] == 1.0
        assert metrics["policy/clip_low"] == metrics["policy/clip_high"] == 0
