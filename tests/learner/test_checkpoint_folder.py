"""Checkpoints and sudden ends: at any operation on the file system, and at any moment at all (SIGKILL)."""

from __future__ import annotations

import json
import logging
import multiprocessing as mp
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from reprise.core.errors import UserError
from reprise.learner.checkpoints import Checkpointer, client_state, latest, read_metadata, sweep, weights
from reprise.learner.checkpoints import folder as folders


def write(folder: Path, step: int, keep: int = 2) -> None:
    partial = folders.begin(folder, step)
    (partial / "rank-00000.safetensors").write_text(str(step))
    metadata: Any = {"format": 1, "step": step}
    folders.commit(partial, metadata)
    folders.retain(folder, keep, step)


def whole(folder: Path) -> list[int]:
    """Steps of the checkpoints with a plain name, after seeing that each is whole."""
    for path in folders.checkpoints(folder):
        assert (path / "rank-00000.safetensors").read_text() == str(read_metadata(path)["step"])
    return [folders.step_of(path) for path in folders.checkpoints(folder)]


class Stopped(BaseException):
    pass


class StopsAt:
    """Lets `count` operations on the file system happen; a removal that is stopped has removed a file."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = count
        for owner, name in ((Path, "rename"), (Path, "mkdir"), (Path, "write_text"), (os, "fsync"), (shutil, "rmtree")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name), name == "rmtree"))

    def _counted(self, operation: Callable[..., Any], removes: bool) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                if removes:
                    next(p for p in sorted(Path(args[0]).iterdir())).unlink()
                raise Stopped
            self.left -= 1
            return operation(*args, **kwargs)

        return counted


@pytest.mark.parametrize("step", [3, 2], ids=["a-new-step", "the-same-step-again"])
def test_a_stop_at_any_operation_leaves_a_whole_checkpoint_and_nothing_else_after_tidying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    outcomes = set()
    for count in range(100):
        folder = tmp_path / str(count)
        write(folder, 1)
        write(folder, 2)
        with monkeypatch.context() as patched:
            stops = StopsAt(count, patched)
            try:
                write(folder, step)
                finished = stops.left > 0
            except Stopped:
                finished = False
        assert whole(folder), f"nothing is left after a stop at operation {count}"
        sweep(folder, lambda line: None)
        assert whole(folder)
        assert whole(folder)[-1] >= 2
        assert len(list(folder.iterdir())) == len(whole(folder))
        outcomes.add(tuple(whole(folder)))
        if finished:
            break
    assert finished
    assert outcomes == ({(1, 2), (1, 2, 3), (2, 3)} if step == 3 else {(1, 2)})


def test_the_last_ones_are_kept_and_later_ones_of_a_run_that_was_taken_back_are_left_alone(tmp_path: Path) -> None:
    for step in (10, 20, 30, 1_000_000):
        write(tmp_path, step)
    assert whole(tmp_path) == [30, 1_000_000]
    write(tmp_path, 25)
    assert whole(tmp_path) == [25, 30, 1_000_000]
    assert latest(tmp_path) == tmp_path / "step-1000000"


def test_what_is_no_checkpoint_is_left_alone_and_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "step-000001.partial").mkdir()
    (tmp_path / "notes").mkdir()
    assert latest(tmp_path) is None
    assert latest(tmp_path / "none") is None
    said: list[str] = []
    sweep(tmp_path, said.append)
    assert said == ["removed a half-written checkpoint that a stopped run left behind: step-000001.partial"]
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]
    with pytest.raises(UserError, match=r"notes is not a complete checkpoint: metadata.json cannot be read"):
        read_metadata(tmp_path / "notes")


arrays = npst.arrays(st.sampled_from([np.int32, np.float64, np.bool_]), npst.array_shapes(min_side=0, max_dims=2))
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text().filter(lambda key: key != "__array__")  # which marks arrays, and is refused
values = st.recursive(plain | arrays, lambda v: st.lists(v) | st.dictionaries(keys, v), max_leaves=8)


@given(st.dictionaries(keys, values))
def test_client_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    np.testing.assert_equal(client_state.decode(json.loads(json.dumps(client_state.encode(state)))), state)


def test_client_state_that_would_come_back_as_another_is_refused() -> None:
    for state in ({"a": {1: 2}}, {"a": {1, 2}}, {"a": [object()]}, {"a": np.array([None])}):
        with pytest.raises(TypeError, match="client_state"):
            client_state.encode(state)


def engine_full_of(value: float) -> Any:
    """What a `Checkpointer` sees of a DeepSpeed engine, its weights and moments all of one value."""
    module = torch.nn.Linear(100, 50, bias=False)
    flat = torch.full((5000,), value)
    at = SimpleNamespace(start=0, numel=5000)
    module.weight._hp_mapping = SimpleNamespace(lp_fragment_address=at, hp_fragment_address=at)  # type: ignore[attr-defined]
    return SimpleNamespace(
        module=module,
        optimizer=SimpleNamespace(bit16_groups=[[module.weight]], single_partition_of_fp32_groups=[flat]),
        basic_optimizer=SimpleNamespace(state={flat: {"exp_avg": flat.clone(), "step": torch.tensor(value)}}),
        zero_optimization_stage=lambda: 1,
    )


def save_for_ever(folder: Path) -> None:
    torch.set_num_threads(1)
    checkpointer = Checkpointer(folder, 2, True, 0, 1)
    for step in range(1, 10_000):
        checkpointer.save(engine_full_of(float(step)), step, {"step": step})


def test_a_run_killed_at_any_moment_leaves_its_last_checkpoint_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(0)
    left_behind = 0
    for trial in range(8):
        folder = tmp_path / str(trial)
        process = mp.get_context("fork").Process(target=save_for_ever, args=(folder,))
        process.start()
        give_up = time.monotonic() + 30
        while latest(folder) is None and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        path = latest(folder)
        assert path is not None
        step = folders.step_of(path)
        ((name, value),) = weights(path)
        assert name == "weight"
        assert (value == step).all()
        assert read_metadata(path)["client_state"] == {"step": step}
        left = [p.name for p in folder.iterdir() if p.suffix]
        left_behind += len(left)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            Checkpointer(folder, 2, True, 0, 1)
        assert len(caplog.records) == len(left)
        assert not [p for p in folder.iterdir() if p.suffix]
    assert left_behind, "no kill met a checkpoint in the making: the test shows nothing"
