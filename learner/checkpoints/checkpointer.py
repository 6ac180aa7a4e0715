"""Writing checkpoints, on all ranks together, during training."""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from reprise.core.errors import RunError, UserError
from reprise.learner.checkpoints import client_state as client
from reprise.learner.checkpoints import folder as folders
from reprise.learner.checkpoints import random_states
from reprise.learner.checkpoints.layout import flat_groups, optimizer_kind, parameter_shapes, stage
from reprise.learner.checkpoints.shards import Snapshot, file_name

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine
    from torch._C._distributed_c10d import Store

_POLL_S = 0.05
log = logging.getLogger(__name__)


class Checkpointer:
    """Keeps the last `keep` checkpoints of a run in `folder`, which all ranks see. Every method is collective.

    A rank's files hold its part of the float32 master weights and of the optimiser's state, and its random states;
    frozen parameters and buffers are the policy folder's. A process killed at any moment leaves the former checkpoint
    whole, and what it left half-written is removed, with a line in the log, when the next `Checkpointer` is made.

    asynchronous  files are written by a thread, from copies in host memory that `save` takes before it returns
    deadline_s    longest wait for the files of a checkpoint, all ranks' together
    """

    def __init__(
        self,
        folder: str | Path,
        keep: int,
        asynchronous: bool,
        rank: int,
        world_size: int,
        deadline_s: float = 600.0,
    ) -> None:
        self._folder, self._keep, self._asynchronous = Path(folder), keep, asynchronous
        self._rank, self._world_size, self._deadline_s = rank, world_size, deadline_s
        self._writing: threading.Thread | None = None
        self._step, self._number = -1, 0
        self._error: str | None = None
        self._refuse_unseen()
        if rank == 0:
            folders.sweep(self._folder, log.warning)

    def save(self, ds_engine: DeepSpeedEngine, step: int, client_state: Mapping[str, object]) -> None:
        """Write checkpoint `step-<step>`, after the former one is complete. `client_state` is rank 0's.

        Raises RunError on every rank if the former checkpoint could not be written on one of them, and TypeError for a
        `client_state` that is neither JSON nor numpy arrays.
        """
        metadata: folders.Metadata = {
            "format": 1,
            "step": step,
            "world_size": self._world_size,
            "zero_stage": stage(ds_engine),
            "dtype": str(next(ds_engine.module.parameters()).dtype).removeprefix("torch."),
            "optimizer": optimizer_kind(ds_engine),
            "parameters": parameter_shapes(ds_engine),
            "client_state": client.encode(client_state),
        }
        self.wait()
        state = ds_engine.basic_optimizer.state
        snapshot = Snapshot.take(flat_groups(ds_engine), state, random_states.capture())
        partial = self._begin(step)
        self._writing = threading.Thread(target=self._write, args=(snapshot, partial, metadata), daemon=True)
        self._writing.start()
        if not self._asynchronous:
            self.wait()

    def wait(self) -> None:
        """Return when the checkpoint that is being written is complete; RunError if it will not be."""
        if self._writing is None:
            return
        self._writing.join(self._deadline_s)
        error = f"not written within {self._deadline_s:g} s" if self._writing.is_alive() else self._error
        self._writing, self._error = None, None
        self._agree(error)

    def close(self) -> None:
        """Complete what is being written."""
        self.wait()

    def _refuse_unseen(self) -> None:
        """UserError on every rank if one of them does not see what rank 0 writes into the folder: at the start, not
        when the first checkpoint is lost."""
        if self._world_size == 1:
            return
        name: list[str | None] = [None]
        if self._rank == 0:
            name = [folders.leave_mark(self._folder)]
        torch.distributed.broadcast_object_list(name, src=0)
        host = None if folders.sees_mark(self._folder, str(name[0])) else socket.gethostname()
        hosts: list[str | None] = [None] * self._world_size
        torch.distributed.all_gather_object(hosts, host)
        if self._rank == 0:
            folders.remove_mark(self._folder, str(name[0]))
        if blind := [f"rank {rank} on {host}" for rank, host in enumerate(hosts) if host is not None]:
            raise UserError(
                f"{self._folder}, where checkpoints go, is not one folder for all nodes: {', '.join(blind)} does not "
                "see what rank 0 wrote there; set runs_dir to a folder that all nodes share"
            )

    def _begin(self, step: int) -> Path:
        """The folder to write into, empty before any rank writes."""
        error = None
        if self._rank == 0:
            try:
                folders.begin(self._folder, step)
            except OSError as failed:
                error = str(failed)
        self._step, self._number = step, self._number + 1
        self._agree(error)
        return self._folder / f"step-{step:06d}{folders.PARTIAL}"

    def _agree(self, error: str | None) -> None:
        """Raise the errors of all ranks on all ranks."""
        errors: list[str | None] = [error]
        if self._world_size > 1:
            errors = [None] * self._world_size
            torch.distributed.all_gather_object(errors, error)
        failed = [f"rank {rank}: {e}" for rank, e in enumerate(errors) if e is not None]
        if failed:
            whole = folders.latest(self._folder)
            there = f"the last complete one in {self._folder} is {whole.name}" if whole else "there is no complete one"
            raise RunError(f"the checkpoint of step {self._step} was not written ({'; '.join(failed)}); {there}")

    # ---- in the writing thread ---------------------------------------------------------------------------------------

    def _write(self, snapshot: Snapshot, partial: Path, metadata: folders.Metadata) -> None:
        try:
            snapshot.write(partial, self._rank)
            if self._rank == 0:
                self._await_files(partial)
                folders.commit(partial, metadata)
                folders.retain(self._folder, self._keep, metadata["step"])
        except Exception as error:  # noqa: BLE001 - raised on every rank by the next `wait`
            self._error = f"{type(error).__name__}: {error}"
            if self._rank == 0:
                shutil.rmtree(partial, ignore_errors=True)  # frees space where the disk is full
                with suppress(OSError):  # others are in it
                    self._folder.rmdir()
            if self._world_size > 1:  # else rank 0 would wait for this rank's file until its deadline
                _store().set(self._failed(self._rank), self._error)

    def _await_files(self, partial: Path) -> None:
        """Through the file system and the ranks' store: their collectives belong to training."""
        give_up = time.monotonic() + self._deadline_s
        missing = list(range(self._world_size))
        while missing := [rank for rank in missing if not (partial / file_name(rank)).exists()]:
            if failed := [rank for rank in missing if _store().check([self._failed(rank)])]:
                raise RunError(f"{file_name(failed[0])} could not be written")
            if time.monotonic() > give_up:
                late = file_name(missing[0])
                raise TimeoutError(
                    f"{late} is not there after {self._deadline_s:g} s: do all ranks see {self._folder}?"
                )
            time.sleep(_POLL_S)

    def _failed(self, rank: int) -> str:
        """The key under which a rank says that it could not write the present checkpoint."""
        return f"checkpoint-{self._number}-failed-{rank}"


def _store() -> Store:
    return torch.distributed.distributed_c10d._get_default_store()
