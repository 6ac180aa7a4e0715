from __future__ import annotations

from pathlib import Path

import checkpoint_jobs as jobs
import numpy as np
import pytest
from rank_pool import RankPool

from learner.checkpoints import latest
from learner.settings import EngineSettings

pytestmark = pytest.mark.slow

KINDS = [
    pytest.param("adamw", 1, "float32", id="adamw-zero1"),
    pytest.param("adamw", 2, "float32", id="adamw-zero2"),
    pytest.param("adamw", 3, "float32", id="adamw-zero3"),
    pytest.param("sgd", 1, "float32", id="sgd-zero1"),
    pytest.param("sgd", 3, "float32", id="sgd-zero3"),
    pytest.param("adamw", 1, "bfloat16", id="adamw-zero1-bf16"),
    pytest.param("adamw", 2, "bfloat16", id="adamw-zero2-bf16"),
    pytest.param("adamw", 3, "bfloat16", id="adamw-zero3-bf16"),
]


def settings(optimizer: str, stage: int, **more: object) -> EngineSettings:
    decay = {"weight_decay": 0.1} if optimizer != "sgd" else {}
    return EngineSettings(optimizer=optimizer, zero_stage=stage, **{**decay, **more})


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize(("optimizer", "stage", "dtype"), KINDS)
def test_a_resumed_run_goes_on_bit_by_bit(
    pools: dict[int, RankPool], tmp_path: Path, optimizer: str, stage: int, dtype: str, world_size: int
) -> None:
    chosen = settings(optimizer, stage)
    straight = pools[world_size].run(jobs.save_and_go_on, settings=chosen, folder=tmp_path, dtype=dtype)
    path = latest(tmp_path)
    resumed = pools[world_size].run(jobs.load_and_go_on, settings=chosen, path=path, dtype=dtype)
    for one, other in zip(straight, resumed):
        assert other["state"]["cursor"] == [1, 2]
        np.testing.assert_array_equal(other["state"]["order"], np.arange(3))
        assert other["draws"] == one["draws"]
        assert other["losses"] == one["losses"]
        for name, value in one["saved"].items():
            np.testing.assert_array_equal(other["loaded"][name], value, err_msg=name)
            np.testing.assert_array_equal(other["weights"][name], one["weights"][name], err_msg=name)


@pytest.mark.parametrize(("optimizer", "dtype"), [("adamw", "float32"), ("adamw", "bfloat16"), ("sgd", "float32")])
@pytest.mark.parametrize(
    ("ranks", "stages"),
    [((2, 1), (1, 1)), ((1, 2), (1, 1)), ((2, 1), (3, 3)), ((1, 2), (3, 3)), ((2, 2), (1, 3)), ((2, 1), (3, 2))],
)
def test_other_ranks_and_stages_go_on_from_exactly_what_was_saved(
    pools: dict[int, RankPool],
    tmp_path: Path,
    optimizer: str,
    dtype: str,
    ranks: tuple[int, int],
    stages: tuple[int, int],
) -> None:
    before, after = (settings(optimizer, stage) for stage in stages)
    straight, *_ = pools[ranks[0]].run(jobs.save_and_go_on, settings=before, folder=tmp_path / "a", dtype=dtype)
    path = latest(tmp_path / "a")
    resumed, *_ = pools[ranks[1]].run(jobs.load_and_go_on, settings=after, path=path, dtype=dtype, again=tmp_path / "b")
    assert jobs.same_in_any_layout(path, resumed["again"]) == []
    tolerance = 1e-5 if dtype == "float32" else 0.05
    for name, value in straight["weights"].items():
        np.testing.assert_allclose(resumed["weights"][name], value, rtol=tolerance, atol=tolerance, err_msg=name)
