"""The process group of the learner ranks."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from datetime import timedelta
from functools import cache

import torch

# DeepSpeed asks for its accelerator and its own launcher's variables when it is imported: a rank's process is ours, so
# they are set here, before the import. Ray shows an actor only its own GPU, which is therefore device 0.
os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
os.environ.setdefault("LOCAL_RANK", "0")

import deepspeed

logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
# DeepSpeed still calls collectives by their former names, and torch says so at every one.
warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.distributed.* is deprecated")
# On CPU DeepSpeed would spend a minute compiling a shared-memory all-reduce when the group starts; gloo serves.
# (Not `import deepspeed.comm.torch as ...`: that name is bound to torch itself there.)
importlib.import_module("deepspeed.comm.torch").build_shm_op = lambda: None  # type: ignore[attr-defined]


def join(rank: int, world_size: int, master_addr: str, master_port: int, deadline_s: float) -> torch.device:
    """Join the group (nccl on GPU, gloo on CPU), whose collectives wait at most `deadline_s`; returns the device.

    A process joins once, for its life: DeepSpeed keeps subgroups in module variables. A second learner in the same
    process shares the group.
    """
    on_gpu = torch.cuda.is_available()
    if not torch.distributed.is_initialized():
        deepspeed.init_distributed(
            dist_backend="nccl" if on_gpu else "gloo",
            auto_mpi_discovery=False,
            verbose=False,
            timeout=timedelta(seconds=deadline_s),
            init_method=f"tcp://{master_addr}:{master_port}",
            rank=rank,
            world_size=world_size,
        )
    return torch.device("cuda", 0) if on_gpu else torch.device("cpu")


@cache
def sequence_group(size: int) -> torch.distributed.ProcessGroup | None:
    """The group of `size` consecutive ranks that share rows with this one; None for a size of 1. Collective, once."""
    if size == 1:
        return None
    groups: list[torch.distributed.ProcessGroup] = [
        torch.distributed.new_group(list(range(first, first + size)))
        for first in range(0, torch.distributed.get_world_size(), size)
    ]
    return groups[torch.distributed.get_rank() // size]
