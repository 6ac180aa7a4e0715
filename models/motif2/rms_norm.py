"""RMSNorm that keeps its input and one number a row for the backward pass, where autograd would keep float32 copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps)·weight over the last dimension, in float32, rounded before the weight is applied (as
    transformers and vLLM do)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., size]; the result has its shape and type."""
        return _RMSNorm.apply(x, self.weight, self.eps)  # type: ignore[no-any-return, no-untyped-call]


class _RMSNorm(torch.autograd.Function):
    """In float32 (float64 for float64), with r = 1 / sqrt(mean(x²) + eps), h = r·x and u = g·weight:

    dx = r·(u - h·mean(u·h))      dweight = Σ_rows g·h
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(torch.linalg.vecdot(wide, wide)[..., None] / x.shape[-1] + eps)
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).to(x.dtype).mul_(weight.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        g = upstream.to(scale.dtype)
        unit = x.to(scale.dtype) * scale
        product = g * unit
        dweight = product.flatten(0, -2).sum(0).to(weight.dtype)
        wide_weight = weight.to(scale.dtype)
        mean = (product @ wide_weight)[..., None] / x.shape[-1]
        dx = torch.mul(g, wide_weight, out=product).addcmul_(unit, mean, value=-1).mul_(scale)
        return dx.to(x.dtype), dweight, None
