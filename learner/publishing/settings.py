"""The recipe's `weights` section: how the learner's weights reach the engines, and how that is checked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Deadlines(BaseModel):
    """Seconds each stage of a weight update may take. On expiry the error names stage, rank and version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    init: float = Field(120.0, gt=0, description="engines and learner agree on the transfer (once)")
    gather: float = Field(120.0, gt=0, description="the learner's ranks bring their shards together")
    pause: float = Field(60.0, gt=0, description="engines stop after their current step")
    transfer: float = Field(300.0, gt=0, description="all buckets sent and loaded")
    finish: float = Field(120.0, gt=0, description="engines finish loading and take the new version")
    resume: float = Field(30.0, gt=0, description="engines go on sampling")
    check: float = Field(120.0, gt=0, description="engine and learner are compared")


# Nats a token. Fixed tokens are random ids, far in the tail, where bfloat16 differs most and wrong weights show best;
# sampled ones are likely. SmolLM2-135M in bfloat16 has 0.06 to 0.08 and 0.03 (docs/architecture.md).
_CHECK = {"float32": 1e-3, "bfloat16": 0.15}
_PROBE = {"float32": 1e-3, "bfloat16": 0.1}


class PublishSettings(BaseModel):
    """Weight publishing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transport: Literal["shared_memory", "nccl", "ipc"] = Field(
        "shared_memory",
        description="shared_memory: on CPU, learner and engines on one host; nccl: GPUs; ipc: GPUs shared by both",
    )
    bucket_mb: float = Field(256.0, gt=0, description="MiB sent in one piece; bounds the extra memory of an update")
    check_tokens: int = Field(
        64, ge=8, description="fixed tokens whose log-probabilities engine and learner must agree on after every update"
    )
    max_mismatch: float | None = Field(
        None,
        gt=0,
        description="nats, mean absolute per fixed token: above it the engine does not hold the weights sent, and the "
        "run ends. null: 1e-3 for policy.dtype float32, 0.15 for bfloat16",
    )
    max_probe_mismatch: float | None = Field(
        None,
        gt=0,
        description="the same per token that engines sampled at start-up: above it the run is refused. null: 1e-3 for "
        "float32, 0.1 for bfloat16",
    )
    deadlines: Deadlines = Deadlines()

    def check_limit(self, dtype: str) -> float:
        """Nats a fixed token, for a policy of `dtype`."""
        return _CHECK[dtype] if self.max_mismatch is None else self.max_mismatch

    def probe_limit(self, dtype: str) -> float:
        """Nats a sampled token, for a policy of `dtype`."""
        return _PROBE[dtype] if self.max_probe_mismatch is None else self.max_probe_mismatch
