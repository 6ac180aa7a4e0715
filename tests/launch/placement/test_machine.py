"""Refusals of machines whose shared memory is too small, or whose temporary folder has too long a path."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from whole_runs import DEMO

from reprise.core.errors import UserError
from reprise.launch.placement.machine import MIB, check_shared_memory, check_temporary_folder, shared_memory_needed
from reprise.launch.placement.nodes import Node, local_nodes
from reprise.launch.placement.plan import plan
from reprise.launch.recipe.loading import load

Usage = namedtuple("Usage", ["total", "used", "free"])


def with_free(monkeypatch: pytest.MonkeyPatch, total: float, free: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total * MIB, (total - free) * MIB, free * MIB))


def test_dockers_default_is_refused_with_its_size_and_dockers_option(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load(DEMO)
    with_free(monkeypatch, 64, 63)
    with pytest.raises(UserError, match=r"/dev/shm has 63 of 64 MiB free.*--shm-size=2g"):
        check_shared_memory(recipe, plan(recipe, local_nodes()), weights=0)


def test_what_is_free_after_the_largest_queue_must_hold_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load(DEMO)
    placed = plan(recipe, local_nodes())
    with_free(monkeypatch, 256, 255)
    check_shared_memory(recipe, placed, weights=2 * MIB)
    with pytest.raises(UserError, match="need 349 MiB"):
        check_shared_memory(recipe, placed, weights=100 * MIB)


def test_engines_on_one_gpu_each_need_no_shared_memory() -> None:
    gpus = ["cluster.engine_gpus=1", "cluster.learner_gpus=1", "weights.transport=nccl"]
    assert shared_memory_needed(load(DEMO, gpus), weights=1e9) == 0


def test_another_machine_is_not_measured_by_this_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load(DEMO)
    with_free(monkeypatch, 64, 63)
    check_shared_memory(recipe, plan(recipe, [Node(16, 0, 2**36, f"host {i}") for i in range(2)]), weights=0)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_in_which_sockets_have_too_long_paths_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, "/scratch/slurm/job-1234567-of-somebody/tmp")
    with pytest.raises(UserError, match=f"{variable} /scratch/.*has 42 bytes and may have 39"):
        check_temporary_folder()


def test_a_short_folder_for_ray_alone_leaves_vllms_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/s" * 36)
    with pytest.raises(UserError, match="has 72 bytes and may have 70"):
        check_temporary_folder()


def test_the_usual_folder_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    check_temporary_folder()
