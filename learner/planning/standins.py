"""Attention for a rank that does not exist: the shapes and temporaries of Ulysses and of a GPU's flash kernels.

Measured on fake tensors only: what is computed here is not attention's result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import FunctionCtx
from torch.nn.functional import scaled_dot_product_attention

from reprise.learner.attention import KERNELS, Kernel
from reprise.learner.rows import RowLayout


def kernel_of(name: str, on_gpu: bool) -> Kernel:
    """The kernel of `TrainEngineSettings.attention`, with what it allocates on that device."""
    # The others are not on this machine. They take the row as it is and keep query, key, value, output and log-sum-exp.
    kernel = KERNELS["sdpa"] if name == "sdpa" else _variable_length
    if not on_gpu or name == "flex_attention":
        return kernel

    def with_workspace(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: RowLayout, scaling: float | None
    ) -> torch.Tensor:
        query, key, value = _Workspace.apply(query, key, value)  # type: ignore[no-untyped-call]
        return kernel(query, key, value, row, scaling)

    return with_workspace


def _variable_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: RowLayout, scaling: float | None
) -> torch.Tensor:
    out = scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return out.transpose(1, 2)


class _Workspace(torch.autograd.Function):
    """Nothing, but for what FlashAttention-2's backward kernel allocates beside the gradients it returns.

    A float32 accumulator of the query's gradient and, where query heads share key-value heads, gradients of key and
    value for every query head before they are summed.
    """

    @staticmethod
    def forward(ctx: Any, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        query, key, value = tensors
        ctx.accumulator = query.shape
        ctx.expanded = [(*query.shape[:3], x.shape[3]) for x in (key, value)] if query.shape[1] != key.shape[1] else []
        return tuple(x.view_as(x) for x in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
        like = gradients[0]
        held = [like.new_empty(ctx.accumulator, dtype=torch.float32), *(like.new_empty(s) for s in ctx.expanded)]
        del held
        return gradients


class SharedHeads:
    """`learner.sequence_parallel.Ulysses` without other ranks: every rearrangement and every buffer of DeepSpeed's
    exchange, none of the communication."""

    def __init__(self, kernel: Kernel, degree: int) -> None:
        self._kernel, self._degree = kernel, degree

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        row: RowLayout,
        scaling: float | None,
    ) -> torch.Tensor:
        q, k, v = (self._gather(x) for x in (query, key, value))
        q, k, v = (x.permute(1, 2, 0, 3).contiguous() for x in (q, k, v))  # [1, heads / degree, T, D]
        context = self._kernel(q, k, v, row, scaling).transpose(0, 1)  # [T, 1, heads / degree, D_v]
        return self._give_back(context.reshape(*context.shape[:2], -1)).view(1, query.shape[2], query.shape[1], -1)

    def _gather(self, x: torch.Tensor) -> torch.Tensor:
        """[1, heads, t, D] of this rank's tokens -> [T, 1, heads / degree, D]"""
        x = x.permute(2, 0, 1, 3)
        if self._degree > x.shape[2]:  # fewer key-value heads than ranks: they are repeated
            x = x.repeat_interleave(self._degree // x.shape[2], dim=2)
        tokens, one, heads, width = x.shape
        x = x.reshape(tokens, one, self._degree, heads // self._degree, width)
        x = _Exchange.apply(x.permute(2, 0, 1, 3, 4).contiguous())  # type: ignore[no-untyped-call]
        return x.reshape(tokens * self._degree, *x.shape[2:]).contiguous()

    def _give_back(self, x: torch.Tensor) -> torch.Tensor:
        """[T, 1, heads / degree * D] -> [1, t, heads * D]"""
        tokens = x.shape[0] // self._degree
        x = _Exchange.apply(x.reshape(self._degree, tokens, *x.shape[1:]).contiguous())  # type: ignore[no-untyped-call]
        x = x.permute(1, 2, 0, 3)
        return x.reshape(*x.shape[:2], -1).contiguous().transpose(0, 1)


class _Exchange(torch.autograd.Function):
    """An all-to-all's buffers."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(gradients[0].contiguous())
