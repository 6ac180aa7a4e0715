"""Many responses that the token limit cuts off are warned of, with the keys that say so."""

from pathlib import Path

import pytest
from recipe_files import write_recipe

from reprise.launch.recipe.loading import load
from reprise.launch.reporting.truncation import TruncationWatch


@pytest.fixture
def watch(tmp_path: Path) -> TruncationWatch:
    return TruncationWatch(load(write_recipe(tmp_path), ["rollout.max_response_tokens=48"]))


def step(truncated: float, sampled: float = 100.0) -> dict[str, float]:
    return {"trajectories/truncated": truncated, "trajectories/sampled": sampled}


def total(watch: TruncationWatch, truncated: int, sampled: int) -> list[str]:
    return watch.total({"": {"truncated": truncated, "whole": sampled - truncated}})


def test_a_share_that_stays_large_is_warned_of_once_with_keys_and_values(watch: TruncationWatch) -> None:
    warnings = [warning for _ in range(10) for warning in watch.step(step(90))]
    assert len(warnings) == 1
    for part in ("90% of the responses of the last 3 steps", "rollout.max_response_tokens is 48",
                 "rollout.engine.max_model_len 256", "buffer.truncated: keep"):  # fmt: skip
        assert part in warnings[0]
    assert total(watch, 900, 1000) == [], "there was a warning already"


def test_it_is_warned_of_again_when_it_had_gone_away(watch: TruncationWatch) -> None:
    shares = [90] * 5 + [0] * 5 + [90] * 5
    assert sum(len(watch.step(step(share))) for share in shares) == 2


@pytest.mark.parametrize("share", [0, 10, 25])
def test_a_small_share_is_the_price_of_a_limit(watch: TruncationWatch, share: int) -> None:
    assert [watch.step(step(share)) for _ in range(10)] == [[]] * 10
    assert total(watch, share, 100) == []


def test_steps_weigh_as_much_as_they_sampled(watch: TruncationWatch) -> None:
    assert [watch.step(s) for s in (step(1, 1), step(0, 1000), step(1, 1), step(0, 1000))] == [[]] * 4


def test_a_run_too_short_for_its_steps_is_looked_at_as_a_whole(watch: TruncationWatch) -> None:
    assert watch.step(step(40, 44)) == []
    [warning] = total(watch, 40, 44)
    assert warning.startswith("91% of the responses of the run were cut off by the token limit")


def test_nothing_sampled_is_nothing_to_warn_of(watch: TruncationWatch) -> None:
    assert watch.step(step(0, 0)) == watch.step({}) == total(watch, 0, 0) == []
