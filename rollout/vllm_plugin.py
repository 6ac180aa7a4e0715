"""Entry point `vllm.general_plugins`: what vLLM loads in each of its processes, its engine core included."""

from __future__ import annotations

SHARED_MEMORY = "reprise_shared_memory"


def register() -> None:
    """Make our weight-transfer engine known to vLLM; safe to call twice, as vLLM does."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if SHARED_MEMORY not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(
            SHARED_MEMORY, "reprise.rollout.shared_memory", "SharedMemoryReceiver"
        )
