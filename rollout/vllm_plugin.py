"""Entry point `vllm.general_plugins`: what vLLM loads in each of its processes, its engine core included."""

from __future__ import annotations

BACKEND = "reprise"


def register() -> None:
    """Make our weight-transfer engine known to vLLM; safe to call twice, as vLLM does."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(BACKEND, "reprise.rollout.vllm_receiver", "VllmReceiver")
