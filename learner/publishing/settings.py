"""The recipe's `weights` section: how the learner's weights reach the engines, and how that is checked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reprise.core.hints import did_you_mean

TRANSPORTS = {
    "shared_memory": "reprise.learner.publishing.shared_memory:SharedMemory",
    "nccl": "reprise.learner.publishing.vllm_transports:Nccl",
    "ipc": "reprise.learner.publishing.vllm_transports:Ipc",
}

# Nats a token. Fixed tokens are random ids, far in the tail, where bfloat16 differs most and wrong weights show best;
# sampled ones are likely. SmolLM2-135M in bfloat16 has 0.06 to 0.08 and 0.03 (docs/architecture.md).
_CHECK = {"float32": 1e-3, "bfloat16": 0.15}
_PROBE = {"float32": 1e-3, "bfloat16": 0.1}


class PublishSettings(BaseModel):
    """Weight publishing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transport: str = Field(
        "shared_memory",
        description="shared_memory: on CPU, learner and engines on one host; nccl: GPUs; ipc: GPUs shared by both; or "
        "one of your own, ./mine.py:MyTransport",
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
    deadline_s: float = Field(
        600.0, gt=0, description="seconds a weight update may take, its check too, and the agreement before the first"
    )

    @field_validator("transport")
    @classmethod
    def _known(cls, transport: str) -> str:
        if transport not in TRANSPORTS and ":" not in transport:
            hint = did_you_mean(transport, TRANSPORTS, "{} ")
            raise ValueError(
                f"transport {transport!r}: {hint}valid: {', '.join(TRANSPORTS)}, or a dotted path module:Transport"
            )
        return transport

    @property
    def transport_path(self) -> str:
        """The dotted path of the transport's class."""
        return TRANSPORTS.get(self.transport, self.transport)

    def check_limit(self, dtype: str) -> float:
        """Nats a fixed token, for a policy of `dtype`."""
        return _CHECK[dtype] if self.max_mismatch is None else self.max_mismatch

    def probe_limit(self, dtype: str) -> float:
        """Nats a sampled token, for a policy of `dtype`."""
        return _PROBE[dtype] if self.max_probe_mismatch is None else self.max_probe_mismatch
