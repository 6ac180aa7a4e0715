"""The engine's side of a weight update through shared memory: learner and engines on one host, no GPU.

The learner writes every tensor once into a memory-mapped file and sends the layout; the engine's worker maps the same
bytes and hands views of them to vLLM's own weight loader, so stacked layers, padding and tensor-parallel slicing are
vLLM's business. Sender: `learner/publishing/shared_memory.py`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info


@dataclass
class SharedMemoryInit(WeightTransferInitInfo):
    """Sent once: the mapped file and the name of every parameter an update must bring."""

    path: str
    names: list[str]


@dataclass
class SharedMemoryUpdate(WeightTransferUpdateInfo):
    """One bucket: where each tensor lies in the mapped file (offsets in bytes); `last` closes the update."""

    names: list[str]
    dtypes: list[str]
    shapes: list[list[int]]
    offsets: list[int]
    last: bool


class SharedMemoryReceiver(WeightTransferEngine[SharedMemoryInit, SharedMemoryUpdate]):
    """Loads buckets from the mapped file; refuses an update that lacks a parameter.

    Refusing matters: with `q_proj` but no `k_proj` vLLM's loader finishes the fused layer half-filled, without a word.
    """

    init_info_cls = SharedMemoryInit
    update_info_cls = SharedMemoryUpdate

    def init_transfer_engine(self, init_info: SharedMemoryInit) -> None:
        path = Path(init_info.path)
        if not path.exists():
            raise RuntimeError(
                f"the learner's weight file {path} is not on this host: the shared_memory transport needs the engines "
                "on the learner's host; across hosts use weights.transport: nccl on GPUs"
            )
        self._bytes = torch.from_file(str(path), shared=True, size=path.stat().st_size, dtype=torch.uint8)
        self._expected = frozenset(init_info.names)
        self._received: set[str] = set()
        # It warns at every update of modules that hold no checkpoint weights (rotary tables, tied heads).
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)

    def start_weight_update(self) -> None:
        self._received.clear()
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: SharedMemoryUpdate) -> None:
        weights = []
        layout = zip(update_info.names, update_info.dtypes, update_info.shapes, update_info.offsets, strict=True)
        for name, dtype_name, shape, offset in layout:
            dtype: torch.dtype = getattr(torch, dtype_name)
            size = math.prod(shape) * dtype.itemsize
            weights.append((name, self._bytes[offset : offset + size].view(dtype).view(shape)))
        model: Any = self.model
        model.load_weights(weights)
        self._received.update(update_info.names)
        if update_info.last:
            self._refuse_incomplete()

    def _refuse_incomplete(self) -> None:
        missing = sorted(self._expected - self._received)
        if missing:
            # Close vLLM's reload first, so that a complete update can still follow on this engine. What has come of a
            # half-filled layer is forgotten: it keeps its weights.
            for layer in self.model.modules():
                reload = get_layerwise_info(layer)
                if reload.can_load() and reload.load_numel < (reload.load_numel_total or 0):
                    reload.load_numel = 0
                    reload.loaded_weights.clear()
            finalize_layerwise_reload(self.model, self.model_config)
            raise RuntimeError(
                f"the update lacks {len(missing)} of {len(self._expected)} parameters, first {missing[0]!r}: "
                "the fused layer it belongs to would be left half-filled"
            )

    def update_weights(self, update_info: dict[str, object]) -> None:
        # The base class also synchronises an accelerator, and a CPU has none.
        self.receive_weights(self.parse_update_info(update_info))

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        self._repack_tied_heads()

    def _repack_tied_heads(self) -> None:
        """On CPU a linear layer computes from a packed copy; a tied head shares the parameter, not the copy."""
        heads = [m for m in self.model.modules() if isinstance(m, ParallelLMHead)]
        for head in heads:
            method: Any = head.quant_method
            method.process_weights_after_loading(head)

    def shutdown(self) -> None:
        self._bytes = torch.empty(0, dtype=torch.uint8)
