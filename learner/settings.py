"""The learner's part of a recipe. Imports neither torch nor deepspeed, so that recipes are checked in milliseconds."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reprise.core.hints import did_you_mean


class OffloadSettings(BaseModel):
    """What leaves the GPU's memory for the host's (DeepSpeed ZeRO-Offload)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimizer: bool = Field(
        False, description="Moments and master weights on the host, stepped there by DeepSpeed's CPU Adam."
    )
    parameters: bool = Field(False, description="Parameters on the host between their uses; only with zero_stage 3.")


class CheckpointingSettings(BaseModel):
    """Activation checkpointing, module by module: what is kept for the backward pass and what is computed again.

    Every policy gives the same gradients, bit by bit (docs/learner.md has the measured curve of memory against time).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Literal["none", "norms", "mlp", "attention", "block"] = Field(
        "none",
        description="What is recomputed. none: nothing. norms: norms, activations and other pointwise work. mlp: whole "
        "MLPs. attention: everything but the attention kernel's output. block: whole decoder layers.",
    )
    offload: bool = Field(False, description="What is kept goes to host memory until the backward pass.")
    mlp_tiles: int = Field(
        1, ge=1, description="MLPs work on this many slices of the tokens, one after the other; 1: all at once."
    )


# The keys of `TrainEngineSettings` that a new stage may change on an engine that is there (`TrainEngine.begin_stage`).
STAGE_KEYS = ("betas", "eps", "muon_momentum", "weight_decay")


class TrainEngineSettings(BaseModel):
    """How a policy is held and stepped: ranks, memory, packing and optimiser. The same for SFT and RL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world_size: int = Field(1, ge=1, description="Learner ranks, one process each: data x sequence parallel.")
    sequence_parallel: int = Field(
        1, ge=1, description="Ranks that share each row of tokens (Ulysses); divides world_size and attention heads."
    )
    zero_stage: Literal[1, 2, 3] = Field(
        1, description="DeepSpeed ZeRO: 1 shards the optimiser state, 2 also the gradients, 3 also the parameters."
    )
    offload: OffloadSettings = OffloadSettings()
    checkpointing: CheckpointingSettings = CheckpointingSettings()
    attention: Literal["sdpa", "flash_attention_2", "flex_attention"] = Field(
        "sdpa",
        description="Attention kernel. sdpa: everywhere. flash_attention_2: the package flash-attn, GPU. "
        "flex_attention: GPU.",
    )
    logprobs: Literal["streamed", "liger"] = Field(
        "streamed",
        description="How log-probabilities come from hidden states without full logits. streamed: ours, logits and "
        "gradients summed in float32. liger: Liger's chunked kernel, which rounds logits to the weights' dtype.",
    )
    token_budget: int = Field(
        8192,
        ge=1,
        description="Most tokens (prompts + responses) of one packed row; sequence-parallel ranks share a row. Bounds "
        "peak memory.",
    )

    optimizer: Literal["adamw", "muon", "sgd"] = Field(
        "adamw",
        description="adamw; muon: orthogonalised momentum for matrices of the layers, AdamW for the rest, "
        "learning rates of AdamW's scale for both; sgd: without momentum.",
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's decay rates of the two moments, in [0, 1).")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon.")
    muon_momentum: float = Field(0.95, ge=0, lt=1, description="Muon's momentum (Nesterov).")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay, on matrices only.")
    grad_clip: float = Field(1.0, ge=0, description="Largest global gradient norm; 0 leaves gradients as they are.")

    max_skipped: int = Field(
        10, ge=1, description="So many optimiser steps skipped in a row (loss or gradient not finite) end the run."
    )
    step_deadline_s: float = Field(
        600.0, gt=0, description="Seconds one batch may take on a rank, and any collective between ranks may wait."
    )

    @model_validator(mode="after")
    def _engine_consistent(self) -> Self:
        _check_betas(self.betas)
        if self.world_size % self.sequence_parallel:
            raise ValueError(
                f"sequence_parallel ({self.sequence_parallel}) must divide world_size ({self.world_size}): the world "
                "is data parallel x sequence parallel ranks"
            )
        if self.offload.parameters and self.zero_stage != 3:
            raise ValueError(
                f"offload.parameters needs zero_stage 3, not {self.zero_stage}: only there do parameters leave a rank"
            )
        if self.optimizer == "sgd" and self.weight_decay:
            raise ValueError("optimizer: sgd takes no weight_decay; set it to 0 or use adamw")
        return self

    @property
    def data_parallel(self) -> int:
        """Groups of ranks that train on different rows."""
        return self.world_size // self.sequence_parallel


class BuiltInLoss(NamedTuple):
    """Where a loss is (`learner.losses.tokens.PolicyLoss`), and its clip_low and clip_high where a recipe sets none."""

    path: str
    clips: tuple[float, float]


_DAPO = (0.2, 0.28)
LOSSES: dict[str, BuiltInLoss] = {
    "grpo": BuiltInLoss("reprise.learner.losses.grpo:LOSS", _DAPO),
    "dr_grpo": BuiltInLoss("reprise.learner.losses.dr_grpo:LOSS", _DAPO),
    "gspo": BuiltInLoss("reprise.learner.losses.gspo:LOSS", (3e-4, 4e-4)),  # section 5.1 of its paper
    "cispo": BuiltInLoss("reprise.learner.losses.cispo:LOSS", (1.0, 4.0)),  # no lower bound; the upper is ScaleRL's
}


def usual_clips(loss: str) -> tuple[float, float]:
    """clip_low and clip_high of a loss where a recipe sets none."""
    return LOSSES[loss].clips if loss in LOSSES else _DAPO


class LearnerSettings(TrainEngineSettings):
    """The engine, and the terms of the RL objective."""

    loss: str = Field(
        "grpo",
        description=f"The policy loss: {', '.join(LOSSES)}, or a dotted path such as my_losses:LOSS. grpo and cispo "
        "are means over tokens, gspo over sequences, dr_grpo over sequences x max_length.",
    )
    max_length: int | None = Field(
        None, ge=1, description="dr_grpo's constant length; null: rollout.max_response_tokens."
    )
    kl_coef: float = Field(
        0.0,
        ge=0,
        description="Weight of KL(policy || reference), token by token; the reference is the policy that RL starts "
        "from, held a second time. 0: none is held.",
    )
    proximal: Literal["recompute", "behaviour"] = Field(
        "recompute",
        description="What the ratio is taken against. recompute: the policy when the batch was taken, the truncated "
        "importance weight correcting for the behaviour policy. behaviour: the behaviour policy itself (plain GRPO).",
    )
    minibatches: int = Field(1, ge=1, description="Disjoint parts a batch is split into; one optimiser step each.")
    epochs: int = Field(1, ge=1, description="Passes over a batch; each is one use of its trajectories.")
    clip_low: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The ratio is clipped below at 1 - clip_low; 1 is no bound. null: 0.2 for grpo and dr_grpo, 3e-4 "
        "for gspo, 1 for cispo.",
    )
    clip_high: float | None = Field(
        None,
        gt=0,
        description="The ratio is clipped above at 1 + clip_high. null: 0.28 for grpo and dr_grpo, 4e-4 for gspo, 4 "
        "for cispo.",
    )
    dual_clip: float | None = Field(
        None,
        gt=1,
        description="Where the advantage is negative, the ratio is bounded by this too (dual clip; 3 is usual). null: "
        "nothing bounds it there.",
    )
    importance_cap: float = Field(
        2.0,
        ge=1,
        description="Upper bound c of the importance weight min(proximal / behaviour, c), of `recompute` only, and of "
        "the KL term's.",
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate.")
    warmup_steps: int = Field(0, ge=0, description="Optimiser steps of linear rise to `lr`.")
    schedule: Literal["constant", "cosine", "wsd"] = Field(
        "constant",
        description="After the warm-up: constant; cosine: half a cosine down to zero at `decay_steps`; wsd: constant, "
        "then linear to zero over the last `decay_fraction` of `decay_steps`.",
    )
    decay_steps: int | None = Field(
        None, ge=1, description="The optimiser step at which cosine or wsd reaches zero (warm-up included)."
    )
    decay_fraction: float = Field(0.2, gt=0, le=1, description="wsd: the part of decay_steps that decays.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.schedule != "constant") != (self.decay_steps is not None):
            raise ValueError(
                "schedule: cosine or wsd and decay_steps belong together: set decay_steps to the total number of "
                "optimiser steps (steps x minibatches x epochs) with them, and leave it out with constant"
            )
        if self.decay_steps is not None and self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"decay_steps ({self.decay_steps}) must be above warmup_steps ({self.warmup_steps}): both count from 0"
            )
        if self.dual_clip is not None and self.loss == "cispo":
            raise ValueError("dual_clip is for losses that cut gradients; cispo bounds every ratio: leave it out")
        if self.loss not in LOSSES and ":" not in self.loss:
            hint = did_you_mean(self.loss, LOSSES, "{} ")
            raise ValueError(f"loss {self.loss!r}: {hint}valid: {', '.join(LOSSES)}, or a dotted path module:LOSS")
        if self.max_length is not None and self.loss in LOSSES and self.loss != "dr_grpo":
            raise ValueError(f"max_length is dr_grpo's constant; loss {self.loss} has none: leave it out")
        return self

    @property
    def steps_per_batch(self) -> int:
        """Optimiser steps a batch gives."""
        return self.minibatches * self.epochs

    @property
    def ratio_bounds(self) -> tuple[float, float]:
        """Lowest and highest ratio that is not clipped: as set, or as the loss's paper has them."""
        low, high = usual_clips(self.loss)
        low = low if self.clip_low is None else self.clip_low
        high = high if self.clip_high is None else self.clip_high
        return 1 - low, 1 + high

    @property
    def clipping_is_active(self) -> bool:
        """False where the ratio is 1 by construction (one step a batch, proximal recomputed): clipping does nothing."""
        return self.proximal == "behaviour" or self.steps_per_batch > 1


class SaveSettings(BaseModel):
    """Checkpoints of a run: weights, optimiser, schedule, random states and the data cursor, sharded over the ranks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: int = Field(20, ge=0, description="RL batches between two checkpoints; 0: none but at an early end")
    keep: int = Field(2, ge=1, description="checkpoints kept: the last ones")
    asynchronous: bool = Field(True, description="files are written during training")


def _check_betas(betas: tuple[float, float]) -> None:
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must both lie in [0, 1), not {betas}")
