"""Whether a run's files fit where they will be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from reprise.core.errors import UserError
from reprise.core.files import absence, dangling
from reprise.launch.placement.memory import PolicySize, gib
from reprise.learner.settings import SaveSettings, TrainEngineSettings

# Metrics, report, samples and an offline wandb run of a few thousand steps, beside the policy itself.
_RUN_BYTES = 256 * 2**20


def run_bytes(learner: TrainEngineSettings, save: SaveSettings, size: PolicySize | None) -> float:
    """What a run may write: its files, the final policy and checkpoints: one more than are kept, or, if none is asked
    for, the one that is written if the run ends early."""
    if size is None:
        return _RUN_BYTES
    kept = (save.keep + 1 if save.every else 1) * size.parameters * (12 if learner.optimizer != "sgd" else 4)
    return _RUN_BYTES + size.parameters * 4 + kept


def check_disk(runs_dir: str, needed: float) -> None:
    """Refuse a `runs_dir` that cannot be written or has less than `needed` bytes free."""
    folder = Path(runs_dir).absolute()
    if (link := dangling(folder)) is not None:
        raise UserError(f"runs_dir {runs_dir}: {absence(link)}; make that folder, or name another")
    there = next(p for p in (folder, *folder.parents) if os.path.exists(p))
    if not there.is_dir():
        raise UserError(f"runs_dir {runs_dir}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"runs_dir {runs_dir}: no permission to write in {there}; choose another folder")
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(f"runs_dir {runs_dir}: {gib(free)} free, the run may write {gib(needed)}; make room")
