from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import batches
import numpy as np
import pytest
import rank_jobs
from rank_pool import RankPool

pytestmark = pytest.mark.slow


def test_a_resumed_learner_goes_on_with_the_schedule_and_the_order_of_minibatches(
    pools: dict[int, RankPool], folder: Path, tmp_path: Path
) -> None:
    settings = batches.settings(minibatches=3, warmup_steps=10)  # plain SGD keeps no optimiser state of its own
    batch = batches.ragged_batch(folder, 9, 1.0)
    (result,) = pools[1].run(
        rank_jobs.stop_and_resume, settings=settings, folder=folder, between=tmp_path / "between", batch=batch
    )
    (metrics, weights), (resumed_metrics, resumed_weights) = result["straight"], result["resumed"]
    assert metrics == resumed_metrics
    assert metrics["optim/lr"] == pytest.approx(settings.lr * 6 / 11)
    for name, value in weights.items():
        np.testing.assert_array_equal(resumed_weights[name], value, err_msg=name)


def test_a_batch_without_a_weighted_trajectory_takes_no_step(pools: dict[int, RankPool], folder: Path) -> None:
    masked = [replace(g, weighted=np.zeros(4, bool)) for g in batches.ragged_batch(folder, 9, 1.0)]
    settings = batches.settings(world_size=2, minibatches=2)
    for result in pools[2].run(rank_jobs.train_on_nothing, settings=settings, folder=folder, batch=masked):
        assert result["metrics"] == {"optim/skipped": 0, "tokens/trained": 0}
        for name, value in result["before"].items():
            np.testing.assert_array_equal(result["after"][name], value, err_msg=name)
