"""The transport through shared memory: learner and engines on one host, engines on CPU.

One mapped file holds a full copy of the weights; its name is removed as soon as every engine has mapped it, so that
nothing is left behind however the run ends. Every parameter has a place of its own there: engines may still read one
bucket while the next is written, and are given views, not copies.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reprise.core.transport import Bucket, Message, Parameter, Places, Transport

if TYPE_CHECKING:
    import torch  # not at run time: the launcher reads this file to check a recipe

ALIGNMENT = 64  # bytes; a view of any dtype may start there, and no two tensors share a cache line


def layout(parameters: Sequence[Parameter]) -> tuple[dict[str, int], int]:
    """The offset of each parameter in the mapped file, and the file's size, in bytes.

    Offsets never repeat: vLLM keeps views of a stacked layer's first shards until its last arrives, which may be in
    the next bucket.
    """
    offsets, end = dict[str, int](), 0
    for parameter in parameters:
        offsets[parameter.name] = end
        end += -(-parameter.nbytes // ALIGNMENT) * ALIGNMENT
    return offsets, end


class SharedMemory(Transport):
    """Writes tensors into the mapped file and tells the engines what lies where."""

    one_host = True
    shm_copies = 1
    folder: ClassVar[Path] = Path("/dev/shm")

    def __init__(self) -> None:
        self._offsets: dict[str, int] = {}
        self._bytes: torch.Tensor | None = None
        self._path: str | None = None

    @classmethod
    def problems(cls, places: Places) -> Iterator[tuple[tuple[str, ...], str]]:
        if places.engine_gpus:
            yield (
                places.gpu_keys,
                f"weights.transport shared_memory is for engines on CPU, but {places}; use nccl, or ipc on a shared "
                "GPU",
            )

    def open(self, parameters: Sequence[Parameter]) -> Message:
        import torch

        self._offsets, size = layout(parameters)
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise RuntimeError(
                f"{self.folder} has {free / 2**20:.0f} MiB free and one copy of the weights takes "
                f"{size / 2**20:.0f} MiB; make it larger (for containers: --shm-size)"
            )
        descriptor, self._path = tempfile.mkstemp(prefix="reprise-weights-", dir=self.folder)
        try:
            os.posix_fallocate(descriptor, 0, size)
            self._bytes = torch.from_file(self._path, shared=True, size=size, dtype=torch.uint8)
        except BaseException:
            os.unlink(self._path)
            raise
        finally:
            os.close(descriptor)
        return {"path": self._path}

    def connected(self) -> None:
        if self._path is not None:
            os.unlink(self._path)

    def send(self, bucket: Iterable[tuple[Parameter, torch.Tensor]]) -> Message:
        assert self._bytes is not None
        sent: list[Parameter] = []
        for parameter, tensor in bucket:
            self._place(self._bytes, parameter.dtype, parameter.shape, self._offsets[parameter.name]).copy_(tensor)
            sent.append(parameter)
        return {
            "names": [p.name for p in sent],
            "dtypes": [str(p.dtype).removeprefix("torch.") for p in sent],
            "shapes": [list(p.shape) for p in sent],
            "offsets": [self._offsets[p.name] for p in sent],
        }

    def connect(self, message: Message) -> None:
        import torch

        path = Path(message["path"])
        if not path.exists():
            raise RuntimeError(
                f"the learner's weight file {path} is not on this host: the shared_memory transport needs the engines "
                "on the learner's host; across hosts use weights.transport: nccl on GPUs"
            )
        self._bytes = torch.from_file(str(path), shared=True, size=path.stat().st_size, dtype=torch.uint8)

    def receive(self, message: Message) -> Bucket:
        import torch

        assert self._bytes is not None
        described = zip(message["names"], message["dtypes"], message["shapes"], message["offsets"], strict=True)
        return [
            (name, self._place(self._bytes, getattr(torch, dtype), shape, offset))
            for name, dtype, shape, offset in described
        ]

    @staticmethod
    def _place(mapped: torch.Tensor, dtype: torch.dtype, shape: Sequence[int], offset: int) -> torch.Tensor:
        nbytes = math.prod(shape) * dtype.itemsize
        return mapped[offset : offset + nbytes].view(dtype).view(tuple(shape))

    def close(self) -> None:
        self._bytes = None
