"""Optimisers, learning-rate schedules, and DeepSpeed's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from reprise.core.errors import UserError
from reprise.learner import ranks  # noqa: F401 - sets what DeepSpeed reads when imported
from reprise.learner.muon import Muon
from reprise.learner.settings import LearnerSettings, TrainEngineSettings

from deepspeed.ops.adam import DeepSpeedCPUAdam  # isort: skip
from deepspeed.runtime import bf16_optimizer  # isort: skip

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

bf16_optimizer.see_memory_usage = lambda message, force=False: None  # it prints a dozen lines at every start


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of an optimiser step (counted from 0; a skipped step counts too).

    It rises linearly over `warmup_steps`, so that step `warmup_steps` is the first at the full `lr`, stays there until
    `decay_start` and falls to zero at `decay_end` along a `cosine` or `linear` shape.
    """

    lr: float
    warmup_steps: int = 0
    shape: str = "constant"
    decay_start: int = 0
    decay_end: int = 0

    def at(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.lr * (step + 1) / (self.warmup_steps + 1)
        if self.shape == "constant" or step < self.decay_start:
            return self.lr
        left = max(0.0, 1 - (step - self.decay_start) / (self.decay_end - self.decay_start))
        return self.lr * (left if self.shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


def sft_schedule(lr: float, warmup_steps: int, schedule: str, total_steps: int, decay_fraction: float) -> Schedule:
    """A schedule by its name in recipes, over the `total_steps` of a stage (warm-up included): zero after the last.

    constant        no decay
    cosine, linear  decay begins where the warm-up ends
    wsd             warm-up, stable, decay: linear over the last `decay_fraction` of `total_steps`

    Raises UserError where a decay has no step to happen in, and ValueError for an unknown name.
    """
    if schedule == "constant":
        return Schedule(lr, warmup_steps)
    if total_steps <= warmup_steps:
        raise UserError(
            f"schedule {schedule} over {total_steps} optimiser steps does not fit warmup_steps ({warmup_steps}): "
            "shorten the warm-up, train longer or use constant"
        )
    if schedule in ("cosine", "linear"):
        return Schedule(lr, warmup_steps, schedule, warmup_steps, total_steps)
    if schedule == "wsd":
        start = max(warmup_steps, round(total_steps * (1 - decay_fraction)))
        return Schedule(lr, warmup_steps, "linear", min(start, total_steps - 1), total_steps)
    raise ValueError(f"unknown schedule {schedule}: constant, cosine, linear or wsd")


def rl_schedule(settings: LearnerSettings) -> Schedule:
    total = settings.decay_steps or 0
    return sft_schedule(settings.lr, settings.warmup_steps, settings.schedule, total, settings.decay_fraction)


# Every optimiser step is given its learning rate.
_SET_BY_STEP = 1e-3


def build_optimizer(module: torch.nn.Module, settings: TrainEngineSettings, on_gpu: bool) -> torch.optim.Optimizer:
    """The optimiser to hand to DeepSpeed, its matrices decaying and the rest (norms, biases) not.

    adamw  torch's, fused on GPU; with optimiser states on the host of a GPU machine, DeepSpeed's CPU Adam
    muon   learner.muon for the matrices between embedding and head, AdamW for the rest: `attach` it afterwards
    sgd    plain
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    hidden = _hidden_matrices(module) if settings.optimizer == "muon" else []
    among_hidden = {id(p) for p in hidden}
    groups = [
        {"params": hidden, "decays": True, "muon": True},
        {"params": [p for p in matrices if id(p) not in among_hidden], "decays": True, "muon": False},
        {"params": [p for p in trained if p.ndim < 2], "decays": False, "muon": False},
    ]
    groups = [g for g in groups if g["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=_SET_BY_STEP)
    betas, eps = settings.betas, settings.eps
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "muon":
        device = torch.device("cuda" if on_gpu else "cpu")
        fused = (on_gpu and not settings.offload.optimizer) or None
        optimizer = Muon(groups, _SET_BY_STEP, settings.muon_momentum, device, betas=betas, eps=eps, fused=fused)
    elif settings.offload.optimizer and on_gpu:
        optimizer = DeepSpeedCPUAdam(groups, lr=_SET_BY_STEP, betas=betas, eps=eps, adamw_mode=True)
    else:
        optimizer = torch.optim.AdamW(groups, _SET_BY_STEP, betas, eps, fused=on_gpu or None)
    set_hyperparameters(optimizer, settings)
    return optimizer


def attach(ds_engine: DeepSpeedEngine) -> None:
    """What an engine and its optimiser still need of each other after deepspeed.initialize (collective)."""
    if isinstance(ds_engine.basic_optimizer, Muon):
        ds_engine.basic_optimizer.attach(ds_engine)
    zero = ds_engine.optimizer
    if getattr(zero, "cpu_offload", False):  # ZeRO 1 and 2
        # DeepSpeed 0.19.8 keeps the float32 sums of a skipped step, so that one infinity would skip all that follow.
        keep = zero.reset_cpu_buffers

        def forget() -> None:
            keep()
            zero.averaged_gradients.update(dict.fromkeys(zero.averaged_gradients))
            zero.all_grad_tensors.update(dict.fromkeys(zero.all_grad_tensors))

        zero.reset_cpu_buffers = forget


def _hidden_matrices(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Trained matrices that are neither embedding nor output head."""
    ends = {id(m.weight) for m in module.modules() if isinstance(m, torch.nn.Embedding)}
    ends |= {id(m.weight) for n, m in module.named_modules() if n.split(".")[-1] == "lm_head"}
    return [p for p in module.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in ends]


def set_hyperparameters(optimizer: torch.optim.Optimizer, settings: TrainEngineSettings) -> None:
    """Whatever of `STAGE_KEYS` the optimiser has: Muon has betas for some of its groups, SGD for none. Weight decay is
    decoupled, and on matrices only."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group |= {"betas": settings.betas, "eps": settings.eps}
        if group["muon"]:
            group["momentum"] = settings.muon_momentum
        group["weight_decay"] = settings.weight_decay if group["decays"] else 0.0


DeepSpeedConfig = dict[str, Any]  # JSON, by DeepSpeed's schema


def deepspeed_config(settings: TrainEngineSettings, dtype: str, parameters: int, hidden_size: int) -> DeepSpeedConfig:
    """DeepSpeed's configuration. Accumulation is ours (gas 1, boundaries set by hand), and so is the schedule."""
    bucket = min(parameters + parameters % 2, 200_000_000)  # whole ones are allocated; an odd number is refused
    zero: dict[str, object] = {
        "stage": settings.zero_stage,
        "overlap_comm": False,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
    }
    if settings.zero_stage == 3:
        # Norms stay on every rank; anything bigger is sharded.
        zero["stage3_param_persistence_threshold"] = 10 * hidden_size
    host = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if settings.offload.optimizer:
        zero["offload_optimizer"] = host
    if settings.offload.parameters:
        zero["offload_param"] = host
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.grad_clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,  # plain SGD, our Muon
        "zero_force_ds_cpu_optimizer": False,  # torch's AdamW steps offloaded states where there is no GPU
        # check_grad_overflow: a non-finite gradient skips the step in bf16 as it does in fp32.
        "bf16": {"enabled": dtype == "bfloat16", "check_grad_overflow": True},
        "steps_per_print": 2**31,
    }
    if dtype == "bfloat16":
        # Micro-batches and ranks add up in float32: in bfloat16 a sum forgets what is below 1/256 of it.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
        config["communication_data_type"] = "fp32"
    return config
