"""The recipe's `rollout` section."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_TOKENS_A_STEP = 8192


class VllmEngineSettings(BaseModel):
    """One rollout engine. Keys keep vLLM's names where vLLM has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: str = Field(
        "vllm",
        pattern="^vllm$|:",
        description="what samples: vllm, or an engine of your own, ./mine.py:MyEngine",
    )

    max_model_len: int = Field(256, ge=8, description="longest prompt + response, in tokens")
    max_num_seqs: int = Field(128, ge=1, description="sequences decoded at once")
    max_num_batched_tokens: int | None = Field(
        None, ge=8, description="tokens in one engine step; null: 8192 on GPUs, vLLM's choice on CPU"
    )
    kv_cache_gb: float = Field(
        1.0, gt=0, description="memory of the key-value cache, GiB on each GPU (or CPU rank) of an engine"
    )
    tensor_parallel: int = Field(1, ge=1, description="GPUs (or CPU ranks) that share one engine")
    enforce_eager: bool | None = Field(
        None,
        description="true: no compilation and no CUDA graphs, which starts faster and decodes slower; null: false on "
        "GPUs, true on CPU",
    )
    prefix_caching: bool = Field(True, description="share the keys of common prefixes; cleared at every weight update")
    start_deadline_s: float = Field(300.0, gt=0, description="seconds an engine may take to start")
    group_deadline_s: float = Field(600.0, gt=0, description="seconds a group may take from its first token")

    def on(self, gpus: bool) -> VllmEngineSettings:
        """The same with nulls filled in. vLLM's own choice of tokens a step is small for an engine that samples
        asynchronously: 2048 on an H100."""
        batched, eager = self.max_num_batched_tokens, self.enforce_eager
        if batched is None and gpus:
            batched = max(_TOKENS_A_STEP, self.max_num_seqs)
        return self.model_copy(
            update={"max_num_batched_tokens": batched, "enforce_eager": not gpus if eager is None else eager}
        )


class RolloutSettings(BaseModel):
    """How trajectories are sampled.

    Only the temperature shapes the sampled distribution: the recorded log-probabilities are those of the distribution
    that was sampled, and the learner can only follow a temperature. top-p, top-k, min-p and penalties renormalise it
    and are therefore not keys of a recipe.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engines: int = Field(1, ge=1, description="rollout engines, each an actor with its own copy of the policy")
    group_size: int = Field(8, ge=2, description="responses sampled a task (G)")
    temperature: float = Field(1.0, gt=0, description="sampling temperature; the learner divides logits by the same")
    max_response_tokens: int = Field(64, ge=1, description="response tokens after which sampling is cut (truncated)")
    stop: tuple[str, ...] = Field(
        (), description="extra tokens that end a response, beside the policy's end token; each must be one token"
    )
    max_staleness: int = Field(2, ge=0, description="versions a fresh group may be behind; 0 is synchronous training")
    max_concurrent_groups: int = Field(32, ge=1, description="groups being sampled or verified at once")
    engine: VllmEngineSettings = VllmEngineSettings()
