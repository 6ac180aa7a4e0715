"""The learner's side of a weight update through shared memory. Receiver: `rollout/shared_memory.py`.

One mapped file holds a full copy of the weights; its name is removed as soon as every engine has mapped it, so that
nothing is left behind however the run ends. The copy is cut into buckets: while the engines load one, the next is
written, and the first is written before they are paused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from vllm.distributed.weight_transfer.base import (
    ParamMeta,
    TrainerInitInfo,
    TrainerWeightTransferEngine,
    VLLMWeightSyncClient,
    WeightSource,
)

from reprise.learner.publishing.backends import ENGINE_BACKENDS
from reprise.learner.publishing.source import tensor_bytes

ALIGNMENT = 64  # bytes; a view of any dtype may start there, and no two tensors share a cache line


@dataclass
class SharedMemoryTrainerInit(TrainerInitInfo):
    """Where the mapped file goes, and how large a bucket is."""

    backend: ClassVar[str] = ENGINE_BACKENDS["shared_memory"]

    folder: Path
    bucket_bytes: int


@dataclass(frozen=True)
class Placed:
    """A parameter and its offset in the mapped file, in bytes."""

    meta: ParamMeta
    offset: int


def layout(metadata: list[ParamMeta], bucket_bytes: int) -> tuple[list[list[Placed]], int]:
    """Buckets of placed parameters, and the file's size in bytes.

    A bucket is closed when the next parameter would take it over `bucket_bytes`; one that is larger by itself gets a
    bucket of its own. Offsets never repeat: vLLM keeps views of a stacked layer's first shards until its last arrives,
    which may be in the next bucket.
    """
    buckets: list[list[Placed]] = []
    offset = filled = 0
    for meta in metadata:
        size = tensor_bytes(meta)
        if not buckets or filled + size > bucket_bytes:
            buckets.append([])
            filled = 0
        buckets[-1].append(Placed(meta, offset))
        filled += size
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    return buckets, offset


class SharedMemorySender(TrainerWeightTransferEngine[SharedMemoryTrainerInit]):
    """Writes the weights into the mapped file and tells the engines what lies where. Rank 0 sends; all gather."""

    init_info_cls = SharedMemoryTrainerInit

    def __init__(self, *, client: VLLMWeightSyncClient, source: WeightSource, is_sender: bool) -> None:
        super().__init__(client=client, source=source, is_sender=is_sender)
        self._buckets: list[list[Placed]] = []
        self._bytes = torch.empty(0, dtype=torch.uint8)

    @classmethod
    def trainer_init(
        cls, init_info: SharedMemoryTrainerInit, *, client: VLLMWeightSyncClient, source: WeightSource | None = None
    ) -> Self:
        if source is None:
            raise ValueError("the shared-memory sender needs a WeightSource")
        sender = cls(client=client, source=source, is_sender=init_info.is_sender)
        if sender.is_sender:
            sender._open(init_info, source.metadata())
        return sender

    def _open(self, init_info: SharedMemoryTrainerInit, metadata: list[ParamMeta]) -> None:
        self._buckets, size = layout(metadata, init_info.bucket_bytes)
        free = shutil.disk_usage(init_info.folder).free
        if free < size:
            raise RuntimeError(
                f"{init_info.folder} has {free / 2**20:.0f} MiB free and one copy of the weights takes "
                f"{size / 2**20:.0f} MiB; make it larger (for containers: --shm-size)"
            )
        descriptor, name = tempfile.mkstemp(prefix="reprise-weights-", dir=init_info.folder)
        try:
            os.posix_fallocate(descriptor, 0, size)
            self._bytes = torch.from_file(name, shared=True, size=size, dtype=torch.uint8)
            self.client.init_weight_transfer_engine({"path": name, "names": [meta.name for meta in metadata]})
        finally:
            os.close(descriptor)
            os.unlink(name)

    def send_weights(self) -> None:
        assert self.source is not None
        pairs = iter(self.source)
        if not self.is_sender:
            for _ in pairs:  # joins the gather of each tensor
                pass
            return
        loading: Future[None] | None = None
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="weights") as thread:
            for index, bucket in enumerate(self._buckets):
                update = self._write(bucket, pairs)
                if index == 0:
                    self.client.start_weight_update()
                if loading is not None:
                    loading.result()
                loading = thread.submit(self.client.update_weights, update)
            if loading is not None:
                loading.result()
        self.client.finish_weight_update()

    def _write(self, bucket: list[Placed], pairs: Iterator[tuple[str, torch.Tensor]]) -> dict[str, object]:
        """Copy the bucket's tensors into the mapped file; the description the engines need to find them."""
        for placed in bucket:
            name, tensor = next(pairs)
            if name != placed.meta.name:
                raise RuntimeError(
                    f"the learner's weights came out of order: {name!r} in place of {placed.meta.name!r}"
                )
            size = tensor_bytes(placed.meta)
            place = self._bytes[placed.offset : placed.offset + size].view(placed.meta.dtype).view(placed.meta.shape)
            place.copy_(tensor)
        return {
            "names": [p.meta.name for p in bucket],
            "dtypes": [str(p.meta.dtype).removeprefix("torch.") for p in bucket],
            "shapes": [list(p.meta.shape) for p in bucket],
            "offsets": [p.offset for p in bucket],
            "last": bucket is self._buckets[-1],
        }

    def shutdown(self) -> None:
        self._bytes = torch.empty(0, dtype=torch.uint8)
