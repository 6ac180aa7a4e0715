"""A run whose optimiser steps are all skipped ends, and says what was not finite."""

from __future__ import annotations

from pathlib import Path

import batches
import pytest
import rank_jobs
from rank_pool import RankPool

from reprise.learner.skipped import NotFinite, SkippedSteps, TrainingStuck


def test_a_step_that_is_applied_ends_the_streak() -> None:
    steps = SkippedSteps(3)
    for step in range(1, 20, 3):
        steps.skipped(NotFinite.GRADIENT, step)
        steps.skipped(NotFinite.GRADIENT, step + 1)
        steps.applied()


def test_the_last_one_allowed_ends_the_run_with_what_was_not_finite_and_what_to_try() -> None:
    steps = SkippedSteps(3)
    steps.skipped(NotFinite.LOGPROBS, 8)
    steps.skipped(NotFinite.GRADIENT, 9)
    with pytest.raises(TrainingStuck) as raised:
        steps.skipped(NotFinite.LOGPROBS, 10)
    said = str(raised.value)
    assert said.startswith("3 optimiser steps in a row were skipped, 8 to 10 (learner.max_skipped = 3): the weights")
    assert "the policy's own log-probabilities (2 times), the gradient of a finite loss (1 times)" in said
    assert "earlier checkpoint" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ("logprobs", "the policy's own log-probabilities (2 times)"),
        ("loss", "the loss, though the policy's log-probabilities were finite (2 times)"),
        ("gradient", "the gradient of a finite loss (2 times)"),
    ],
)
def test_every_rank_gives_up_alike_though_one_alone_saw_it(
    pools: dict[int, RankPool], folder: Path, planted: str, named: str
) -> None:
    good = batches.ragged_batch(folder, 7, 1.0)
    settings = batches.settings(world_size=2, max_skipped=2)
    said = pools[2].run(
        rank_jobs.skip_until_it_ends,
        settings=settings, folder=folder, good=good, bad=batches.with_nan(good), planted=planted,
    )  # fmt: skip
    assert said[0] == said[1]
    assert named in said[0]
