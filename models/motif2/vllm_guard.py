"""A weight update that brings a part of a fused layer is refused, whatever transport brings it.

vLLM reloads layer by layer. When an update ends, a layer of which only some shards have come (`q_proj` without
`k_proj`) is finished with whatever its memory held, without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info


def refuse_half_filled(layer: LinearBase, shards: Sequence[str | int]) -> None:
    """Make vLLM's reload raise RuntimeError instead of finishing `layer` without one of its `shards`.

    An update that leaves the whole layer out keeps its weights, and is not refused here. Quantised layers are left
    alone: they may have scales that no checkpoint brings.
    """
    if not isinstance(layer.quant_method, UnquantizedLinearMethod):
        return
    method: Any = layer.quant_method
    finish = method.process_weights_after_loading

    def whole(filled: torch.nn.Module) -> None:
        info = get_layerwise_info(filled)
        if info.can_load() and info.load_numel < (info.load_numel_total or 0):
            came = {arguments.arguments.get("loaded_shard_id") for _, arguments in info.loaded_weights}
            lacking = [shard for shard in shards if shard not in came]
            raise RuntimeError(
                f"{layer.prefix}: a weight update brought its shards {sorted(came, key=str)} and not {lacking}: the "
                "rest of the fused layer would be left unset; send all of its shards between start and finish"
            )
        finish(filled)

    method.process_weights_after_loading = whole
