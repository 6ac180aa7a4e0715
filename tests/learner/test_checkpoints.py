from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import checkpoint_jobs as jobs
import numpy as np
import pytest
from pairs import every_pair
from rank_pool import RankPool

from reprise.learner.checkpoints import latest, weights
from reprise.learner.settings import LearnerSettings

pytestmark = pytest.mark.slow

KINDS = [  # optimiser, ZeRO stage, dtype, offload
    ("adamw", 1, "float32", False),
    ("adamw", 2, "float32", True),
    ("adamw", 3, "float32", False),
    ("adamw", 3, "float32", True),
    ("sgd", 1, "float32", False),
    ("sgd", 3, "float32", False),
    ("muon", 1, "float32", False),
    ("muon", 3, "float32", False),
    ("adamw", 1, "bfloat16", False),
    ("adamw", 2, "bfloat16", False),
    ("adamw", 3, "bfloat16", False),
]


def settings(optimizer: str, stage: int, **more: object) -> LearnerSettings:
    decay = {"weight_decay": 0.1} if optimizer != "sgd" else {}
    return LearnerSettings(optimizer=optimizer, zero_stage=stage, **{**decay, **more})


@pytest.mark.parametrize(
    ("optimizer", "stage", "dtype", "offload", "world_size"), every_pair([(*k, n) for k in KINDS for n in (1, 2)])
)
def test_a_resumed_run_goes_on_bit_by_bit(
    pools: dict[int, RankPool],
    tmp_path: Path,
    optimizer: str,
    stage: int,
    dtype: str,
    offload: bool,
    world_size: int,
) -> None:
    chosen = settings(optimizer, stage, offload={"optimizer": offload, "parameters": offload and stage == 3})
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


CHANGES = {  # world size and ZeRO stage, before and after
    "2-to-1": ((2, 1), (1, 1)),
    "1-to-2": ((1, 2), (1, 1)),
    "zero3-2-to-1": ((2, 1), (3, 3)),
    "zero3-1-to-2": ((1, 2), (3, 3)),
    "zero1-to-3": ((2, 2), (1, 3)),
    "zero3-to-2-and-2-to-1": ((2, 1), (3, 2)),
}
SOME = ("zero3-1-to-2", "zero1-to-3", "zero3-to-2-and-2-to-1")


@pytest.mark.parametrize(
    ("optimizer", "dtype", "change"),
    [("adamw", "float32", change) for change in CHANGES]
    + [(*kind, change) for kind in (("adamw", "bfloat16"), ("muon", "float32")) for change in SOME]
    + [("sgd", "float32", "zero1-to-3")],
)
def test_other_ranks_and_stages_go_on_from_exactly_what_was_saved(
    pools: dict[int, RankPool],
    tmp_path: Path,
    optimizer: str,
    dtype: str,
    change: str,
) -> None:
    ranks, stages = CHANGES[change]
    before, after = (settings(optimizer, stage) for stage in stages)
    straight, *_ = pools[ranks[0]].run(jobs.save_and_go_on, settings=before, folder=tmp_path / "a", dtype=dtype)
    path = latest(tmp_path / "a")
    assert path is not None
    resumed, *_ = pools[ranks[1]].run(jobs.load_and_go_on, settings=after, path=path, dtype=dtype, again=tmp_path / "b")
    assert jobs.same_in_any_layout(path, resumed["again"]) == []
    tolerance = 1e-5 if dtype == "float32" else 0.05
    for name, value in straight["weights"].items():
        np.testing.assert_allclose(resumed["weights"][name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_weights_are_read_from_the_files_alone(pools: dict[int, RankPool], tmp_path: Path) -> None:
    saved, _ = pools[2].run(jobs.save_and_go_on, settings=settings("adamw", 3), folder=tmp_path)
    path = latest(tmp_path)
    assert path is not None
    read = {name: value.numpy() for name, value in weights(path)}
    assert read.keys() == saved["saved"].keys()
    for name, value in saved["saved"].items():
        np.testing.assert_array_equal(read[name], value, err_msg=name)


@pytest.fixture(scope="module")
def written(pools: dict[int, RankPool], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of two ranks, AdamW, ZeRO 1."""
    folder = tmp_path_factory.mktemp("checkpoints")
    pools[2].run(jobs.save_and_go_on, settings=settings("adamw", 1), folder=folder)
    path = latest(folder)
    assert path is not None
    return path


def refusal(pools: dict[int, RankPool], path: Path, optimizer: str = "adamw", width: int = 7) -> str:
    """What every rank says of a checkpoint, its engine left as it was."""
    told = pools[2].run(jobs.load_and_go_on, settings=settings(optimizer, 1), path=path, width=width)
    assert told[0] == told[1]
    return str(told[0]["refused"])


def test_another_architecture_is_refused_in_one_line(pools: dict[int, RankPool], written: Path) -> None:
    assert refusal(pools, written, width=8) == (
        f"checkpoint {written} is of another architecture: embed_tokens.weight is [11, 7] there and [11, 8] in the "
        "policy (and 3 more differences)"
    )


def test_the_state_of_another_optimiser_is_refused(pools: dict[int, RankPool], written: Path) -> None:
    assert "holds the state of the optimiser adamw, and this run uses sgd" in refusal(pools, written, "sgd")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "rank-00001.safetensors").unlink(), "rank-00001.safetensors cannot be read"),
        (lambda path: truncate(path / "rank-00000.safetensors"), "rank-00000.safetensors cannot be read"),
        (lambda path: (path / "metadata.json").write_text("{"), "metadata.json cannot be read"),
    ],
    ids=["missing", "truncated", "metadata"],
)
def test_a_damaged_checkpoint_is_refused(
    pools: dict[int, RankPool], written: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    copy = tmp_path / written.name
    shutil.copytree(written, copy)
    damage(copy)
    assert message in refusal(pools, copy)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


@pytest.mark.parametrize("failing", [0, 1])
def test_a_rank_that_cannot_write_is_told_on_all_ranks_at_the_next_call(
    pools: dict[int, RankPool], tmp_path: Path, failing: int
) -> None:
    results = pools[2].run(jobs.fail_to_write, settings=settings("adamw", 1), folder=tmp_path, failing=failing)
    for result in results:
        assert "RunError: the checkpoint of step 2 was not written" in result["told"]
        assert f"rank {failing}: OSError: [Errno 28] No space left on device" in result["told"]
        assert "is step-000001" in result["told"]
        assert result["left"].name == "step-000001"
        assert result["later"].name == "step-000004"
        assert result["seconds"] < 10


def test_a_folder_that_a_rank_does_not_see_is_refused_at_the_start_and_never_awaited(
    pools: dict[int, RankPool], tmp_path: Path
) -> None:
    folders = {"folder": tmp_path / "shared", "other": tmp_path / "own"}
    results = pools[2].run(jobs.fail_unseen, settings=settings("adamw", 1), **folders)
    for told in results:
        assert "rank 1 on " in told["start"]
        assert "set runs_dir to a folder that all nodes share" in told["start"]
        assert "rank-00001.safetensors could not be written" in told["save"]  # long before the deadline
    assert list(folders["folder"].glob(".seen*")) == []


def test_no_folder_is_left_where_no_checkpoint_was_written(pools: dict[int, RankPool], tmp_path: Path) -> None:
    pools[2].run(jobs.write_nothing, settings=settings("adamw", 1), folder=tmp_path / "checkpoints")
    assert list(tmp_path.iterdir()) == []
