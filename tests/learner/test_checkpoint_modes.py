"""Whoever may read a run's other files may read its checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch

from reprise.learner.checkpoints.shards import Snapshot


def test_a_rank_s_file_has_the_mode_of_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    Snapshot({"0/fp32": torch.zeros(2)}, {}).write(tmp_path, 0)
    assert (tmp_path / "rank-00000.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
