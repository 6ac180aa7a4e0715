"""Where DeepSpeed keeps which part of each parameter's float32 master weights and optimiser state on this rank.

ZeRO flattens the parameters of a group into one buffer and gives each rank a part of it (stages 1 and 2), or gives
each rank a part of every parameter (stage 3). Either way a rank holds flat float32 tensors, and each stretch of one is
a stretch of a flattened parameter: the same view that DeepSpeed's universal checkpoints take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine


@dataclass(frozen=True, slots=True)
class Fragment:
    """Elements start .. start + numel of the flattened parameter `name`, at `offset` of a rank's flat tensor."""

    name: str
    start: int
    numel: int
    offset: int


@dataclass(frozen=True, slots=True)
class FlatGroup:
    """One flat tensor of this rank, float32[n], with what it is made of; its optimiser state is keyed by it."""

    fp32: torch.Tensor
    fragments: list[Fragment]


def stage(ds_engine: DeepSpeedEngine) -> int:
    return int(ds_engine.zero_optimization_stage())


def parameter_shapes(ds_engine: DeepSpeedEngine) -> dict[str, list[int]]:
    """Name -> full shape of every trained parameter, tied ones once."""
    named = ds_engine.module.named_parameters()
    return {name: list(getattr(p, "ds_shape", p.shape)) for name, p in named if p.requires_grad}


def flat_groups(ds_engine: DeepSpeedEngine) -> list[FlatGroup]:
    """This rank's flat tensors, in an order that is the same on all ranks."""
    zero = ds_engine.optimizer
    names = {id(p): name for name, p in ds_engine.module.named_parameters()}
    if stage(ds_engine) == 3:
        return [
            FlatGroup(flat, [f for p in params if (f := _stage_3(zero, names[id(p)], p)).numel])
            for params, flat in zip(zero.fp16_groups, zero.fp32_partitioned_groups_flat)
        ]
    if hasattr(zero, "bf16_groups"):  # BF16_Optimizer: ZeRO-1 in bfloat16 with float32 gradients
        params_of, flats = zero.bf16_groups, zero.fp32_groups_flat_partition
    else:
        params_of, flats = zero.bit16_groups, zero.single_partition_of_fp32_groups
    return [
        FlatGroup(flat, [_stage_1(names[id(p)], p._hp_mapping) for p in params if p._hp_mapping is not None])
        for params, flat in zip(params_of, flats)
    ]


def spread_masters(ds_engine: DeepSpeedEngine) -> None:
    """Bring the weights that the forward pass uses in line with the float32 masters on all ranks (collective)."""
    zero = ds_engine.optimizer
    if stage(ds_engine) == 3:
        zero.checkpoint_event_prologue()
        for sub_group in range(len(zero.fp32_partitioned_groups_flat)):
            zero._reassign_or_swap_out_partitioned_parameters(sub_group)
        zero.checkpoint_event_epilogue()
    else:
        zero.update_lp_params()
        # DeepSpeed links parameters to their optimiser state once; the state is another one now.
        zero._hp_optimizer_states_linked = False


def optimizer_kind(ds_engine: DeepSpeedEngine) -> str:
    """A name for what the optimiser's state means; AdamW's implementations share one."""
    name = type(ds_engine.basic_optimizer).__name__
    return "adamw" if name in ("AdamW", "DeepSpeedCPUAdam", "FusedAdam") else name.lower()


def _stage_1(name: str, mapping: Any) -> Fragment:
    low, high = mapping.lp_fragment_address, mapping.hp_fragment_address
    return Fragment(name, int(low.start), int(low.numel), int(high.start))


def _stage_3(zero: Any, name: str, parameter: Any) -> Fragment:
    _, offset, size = zero.grad_position[zero.get_param_id(parameter)]
    start = zero._get_param_partition_rank(parameter) * parameter.partition_numel()
    return Fragment(name, start, max(0, min(size, parameter.ds_numel - start)), offset)
