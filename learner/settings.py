"""The learner's part of a recipe. Imports neither torch nor deepspeed, so that recipes are checked in milliseconds."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LearnerSettings(BaseModel):
    """How the policy is optimised: ranks, packing, optimiser and the terms of the objective."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world_size: int = Field(1, ge=1, description="Data-parallel learner ranks, one process each.")
    zero_stage: Literal[1, 2, 3] = Field(
        1, description="DeepSpeed ZeRO: 1 shards the optimiser state, 2 also the gradients, 3 also the parameters."
    )
    token_budget: int = Field(
        8192, ge=1, description="Most tokens (prompts + responses) of one micro-batch on one rank; bounds peak memory."
    )

    loss: Literal["grpo"] = Field("grpo", description="The policy loss, one file each in learner/losses/.")
    proximal: Literal["recompute", "behaviour"] = Field(
        "recompute",
        description="What the ratio is taken against. recompute: the policy when the batch was taken, the truncated "
        "importance weight correcting for the behaviour policy. behaviour: the behaviour policy itself (plain GRPO).",
    )
    minibatches: int = Field(1, ge=1, description="Disjoint parts a batch is split into; one optimiser step each.")
    epochs: int = Field(1, ge=1, description="Passes over a batch; each is one use of its trajectories.")
    clip_low: float = Field(0.2, gt=0, lt=1, description="The ratio is clipped below at 1 - clip_low.")
    clip_high: float = Field(0.28, gt=0, description="The ratio is clipped above at 1 + clip_high.")
    importance_cap: float = Field(
        2.0, ge=1, description="Upper bound c of the importance weight min(proximal / behaviour, c); `recompute` only."
    )

    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw, or sgd without momentum: stateless, one learning rate times the gradient."
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's decay rates of the two moments, in [0, 1).")
    eps: float = Field(1e-8, gt=0, description="AdamW's epsilon.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay, on matrices only.")
    grad_clip: float = Field(1.0, ge=0, description="Largest global gradient norm; 0 leaves gradients as they are.")
    warmup_steps: int = Field(0, ge=0, description="Optimiser steps of linear rise to `lr`.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="After the warm-up: constant, or a half cosine down to zero at `decay_steps`."
    )
    decay_steps: int | None = Field(
        None, ge=1, description="The optimiser step at which `cosine` reaches zero (warm-up included). Only for cosine."
    )

    step_deadline_s: float = Field(
        600.0, gt=0, description="Seconds one batch may take on a rank, and any collective between ranks may wait."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_betas(self.betas)
        if (self.schedule == "cosine") != (self.decay_steps is not None):
            raise ValueError(
                "schedule: cosine and decay_steps belong together: set decay_steps to the total number of optimiser "
                "steps (steps x minibatches x epochs) with cosine, and leave it out with constant"
            )
        if self.decay_steps is not None and self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"decay_steps ({self.decay_steps}) must be above warmup_steps ({self.warmup_steps}): both count from 0"
            )
        if self.optimizer == "sgd" and self.weight_decay:
            raise ValueError("optimizer: sgd takes no weight_decay; set it to 0 or use adamw")
        return self

    @property
    def steps_per_batch(self) -> int:
        """Optimiser steps a batch gives."""
        return self.minibatches * self.epochs

    @property
    def clipping_is_active(self) -> bool:
        """False where the ratio is 1 by construction (one step a batch, proximal recomputed): clipping does nothing."""
        return self.proximal == "behaviour" or self.steps_per_batch > 1


class WarmStartSettings(BaseModel):
    """A minimal supervised stage on verified traces before RL, on the same engine with its own optimiser state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    traces: str = Field(description="Dotted path (package.module:callable) of the generator of training traces.")
    args: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the generator.")
    steps: int = Field(ge=1, description="Optimiser steps.")
    batch_size: int = Field(32, ge=1, description="Traces per optimiser step, over all ranks.")
    lr: float = Field(3e-3, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's decay rates of the two moments, in [0, 1).")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay, on matrices only.")
    warmup_steps: int = Field(20, ge=0, description="Steps over which the learning rate rises linearly to `lr`.")
    decay_fraction: float = Field(
        0.5, ge=0, le=1, description="Last part of the steps, over which the learning rate falls linearly to zero."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_betas(self.betas)
        if self.warmup_steps + self.decay_fraction * self.steps > self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) and decay_fraction ({self.decay_fraction}) leave no room in "
                f"steps ({self.steps}): warmup_steps + decay_fraction x steps must be at most steps"
            )
        return self


def _check_betas(betas: tuple[float, float]) -> None:
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must both lie in [0, 1), not {betas}")
