"""The receiving end in vLLM's worker processes: what any of our transports brings goes to vLLM's own weight loader.

Stacked layers, padding and tensor-parallel slicing are therefore vLLM's business.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
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

from reprise.core.transport import Message, WeightReceiver


@dataclass
class Opening(WeightTransferInitInfo):
    """Sent once: the transport, what it needs to connect, and the name of every parameter an update must bring."""

    transport: str
    names: list[str]
    facts: Message


@dataclass
class Piece(WeightTransferUpdateInfo):
    """One bucket: what the transport needs to find it; `last` closes the update."""

    facts: Message
    last: bool


class VllmReceiver(WeightTransferEngine[Opening, Piece]):
    """Loads what comes; refuses an update that lacks a parameter.

    Refusing matters: with `q_proj` but no `k_proj` vLLM's loader finishes the fused layer half-filled, without a word.
    """

    init_info_cls = Opening
    update_info_cls = Piece

    def init_transfer_engine(self, init_info: Opening) -> None:
        self._receiver = WeightReceiver(vars(init_info))
        # It warns at every update of modules that hold no checkpoint weights (rotary tables, tied heads).
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)

    def start_weight_update(self) -> None:
        self._receiver.begin()
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Piece) -> None:
        model: Any = self.model
        model.load_weights(self._receiver.read(vars(update_info)))
        if update_info.last:
            try:
                self._receiver.check_complete()
            except RuntimeError:
                self._forget_half_filled()
                raise

    def _forget_half_filled(self) -> None:
        """Close vLLM's reload, so that a complete update can still follow on this engine. What has come of a
        half-filled layer is forgotten: it keeps its weights."""
        for layer in self.model.modules():
            reload = get_layerwise_info(layer)
            if reload.can_load() and reload.load_numel < (reload.load_numel_total or 0):
                reload.load_numel = 0
                reload.loaded_weights.clear()
        finalize_layerwise_reload(self.model, self.model_config)

    def update_weights(self, update_info: dict[str, object]) -> None:
        # The base class synchronises an accelerator in any case, and a CPU has none.
        self.receive_weights(self.parse_update_info(update_info))
        if self.device.type != "cpu":
            torch.accelerator.synchronize()

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        if self.device.type == "cpu":
            self._repack_tied_heads()

    def _repack_tied_heads(self) -> None:
        """There a linear layer computes from a packed copy; a tied head shares the parameter, not the copy."""
        heads = [m for m in self.model.modules() if isinstance(m, ParallelLMHead)]
        for head in heads:
            method: Any = head.quant_method
            method.process_weights_after_loading(head)

    def shutdown(self) -> None:
        if hasattr(self, "_receiver"):
            self._receiver.close()
