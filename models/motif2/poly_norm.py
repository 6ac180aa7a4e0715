"""PolyNorm (arXiv 2411.03884), the activation of Motif-2's MLP.

    PolyNorm(x) = w0·n(x³) + w1·n(x²) + w2·n(x) + b      n(z) = z / sqrt(mean(z²) + eps), over the last dimension

On CUDA by liger-kernel's kernels, where it is installed, else by the same closed forms in PyTorch. Both keep only x and
three numbers a row for the backward pass; autograd of the formula would keep about ten tensors of x's size, in float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

EPS = 1e-6  # no key of the configuration carries it


class PolyNorm(nn.Module):
    """weight [3] and bias [1] as in the published checkpoint; 1/3 and 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 1 / 3))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., n] of any floating type; the result has its shape and type."""
        if x.is_cuda and (kernel := _liger()) is not None:
            # Its gradient of the bias has no dimension. False: the incoming gradient is left as it is.
            out: torch.Tensor = kernel.apply(x, self.weight, self.bias.view(()), EPS, False)
            return out
        return _PolyNorm.apply(x, self.weight, self.bias, EPS)  # type: ignore[no-any-return, no-untyped-call]


@cache
def _liger() -> type[torch.autograd.Function] | None:
    """Liger's function, which needs triton and so a GPU; None where it is not installed."""
    try:
        from liger_kernel.ops import LigerPolyNormFunction
    except ImportError:
        return None
    function: type[torch.autograd.Function] = LigerPolyNormFunction
    return function


class _PolyNorm(torch.autograd.Function):
    """In float32 (float64 for float64), with r_p = 1 / sqrt(mean(x^2p) + eps) and s_p = Σ g·x^p over a row of n:

    dx = Σ_p w_p·r_p·p·(x^(p-1)·g - x^(2p-1)·r_p²·s_p / n)      dw_p = Σ_rows r_p·s_p      db = Σ g

    p runs over 3, 2, 1: the order of the weights.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        scales = torch.rsqrt(power_sums(x) / x.shape[-1] + eps)
        ctx.save_for_backward(x, weight, scales)
        return polynomial(x, scales, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, scales = ctx.saved_tensors
        wide, g = x.to(scales.dtype), upstream.to(scales.dtype)
        square = wide * wide
        first = g * wide
        # The products are summed as they are made, by rows, and temporaries are used again: it is memory that costs.
        by_rows = "...n,...n->..."
        sums = torch.stack(
            [torch.einsum(by_rows, first, square), torch.einsum(by_rows, first, wide), first.sum(-1)], dim=-1
        )  # [..., 3]
        a = scales * weight.to(scales.dtype)
        a3, a2, a1 = a.split(1, dim=-1)
        b3, b2, b1 = (a * scales.square() * sums / x.shape[-1]).split(1, dim=-1)
        dx = torch.mul(3 * a3, wide, out=first).add_(2 * a2).mul_(wide).add_(a1).mul_(g)
        of_scales = (3 * b3 * square).add_(2 * b2).mul_(square).add_(b1)
        dx.addcmul_(of_scales, wide, value=-1)
        rows = (scales * sums).flatten(0, -2)
        return dx.to(x.dtype), rows.sum(0).to(weight.dtype), g.sum().reshape(1).to(weight.dtype), None


# The two halves of the forward pass: tensor-parallel serving adds the sums of all shards between them.


def power_sums(x: torch.Tensor) -> torch.Tensor:
    """Σ x⁶, Σ x⁴, Σ x² over the last dimension: [..., n] → [..., 3], float32 (float64 for float64)."""
    square = x.to(torch.promote_types(x.dtype, torch.float32)).square()
    fourth = square * square
    return torch.stack([(fourth * square).sum(-1), fourth.sum(-1), square.sum(-1)], dim=-1)


def polynomial(x: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """w0·r3·x³ + w1·r2·x² + w2·r1·x + b for the scales r [..., 3] of a row, in their type, rounded to x's."""
    wide = x.to(scales.dtype)
    c3, c2, c1 = (scales * weight.to(wide.dtype)).split(1, dim=-1)
    out: torch.Tensor = (c3 * wide).add_(c2).mul_(wide).add_(c1).mul_(wide).add_(bias.to(wide.dtype))
    return out.to(x.dtype)
