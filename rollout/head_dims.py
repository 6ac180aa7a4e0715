"""Widths of attention heads that engines have kernels for. No vLLM: the checks before a start ask."""

from __future__ import annotations

from reprise.core.errors import UserError

# vLLM's CPU backend (`CPUAttentionBackend.get_supported_head_sizes`); it meets another one in the first request only.
ON_CPU = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def check_head_dim(head_dim: int) -> None:
    """Refuse heads that vLLM has no kernel for on CPU. UserError."""
    if head_dim not in ON_CPU:
        raise UserError(
            f"the policy's attention heads are {head_dim} wide, and vLLM on CPU has kernels for {list(ON_CPU)} only; "
            "take another policy, or engines on GPUs (cluster.engine_gpus)"
        )
