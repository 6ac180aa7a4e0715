"""PolyNorm and RMSNorm: their formulas, their gradients, what they keep, and liger-kernel's PolyNorm beside ours."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import motif2_naive as naive  # beside this file
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reprise.models.motif2.poly_norm import PolyNorm
from reprise.models.motif2.rms_norm import RMSNorm


def poly_norm(seed: int) -> PolyNorm:
    torch.manual_seed(seed)
    norm = PolyNorm()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


def rms_norm(seed: int, size: int, eps: float = 1e-5) -> RMSNorm:
    torch.manual_seed(seed)
    norm = RMSNorm(size, eps)
    torch.nn.init.normal_(norm.weight)
    return norm


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), scale=st.floats(1e-4, 1e3), seed=st.integers(0, 2**31)
)
def test_both_are_their_formulas(shape: list[int], scale: float, seed: int) -> None:
    poly, rms = poly_norm(seed).double(), rms_norm(seed, shape[-1]).double()
    x = torch.randn(shape, dtype=torch.float64) * scale
    torch.testing.assert_close(poly(x), naive.poly_norm(x, poly.weight, poly.bias))
    torch.testing.assert_close(rms(x), naive.rms_norm(x, rms.weight, 1e-5))


def test_gradients_are_the_derivatives() -> None:
    poly, rms = poly_norm(0).double(), rms_norm(0, 6).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)

    def of_poly(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(poly, {"weight": weight, "bias": bias}, (x,))

    def of_rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(rms, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(of_poly, (x, poly.weight, poly.bias))
    assert torch.autograd.gradcheck(of_rms, (x, rms.weight))


@pytest.mark.parametrize("norm", [poly_norm(0), rms_norm(0, 512)], ids=["poly", "rms"])
def test_bfloat16_is_computed_in_float32_and_rounded(norm: torch.nn.Module) -> None:
    norm = norm.to(torch.bfloat16)
    x = torch.randn(8, 512, dtype=torch.bfloat16)
    got = norm(x)
    if isinstance(norm, PolyNorm):
        exact = naive.poly_norm(x.double(), norm.weight.double(), norm.bias.double())
    else:
        assert isinstance(norm, RMSNorm)
        exact = naive.rms_norm(x.double(), norm.weight.double(), 1e-5)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.double(), exact, rtol=2**-7, atol=2**-8)


@pytest.mark.parametrize("norm", [poly_norm(0), rms_norm(0, 512)], ids=["poly", "rms"])
def test_only_the_input_and_a_few_numbers_a_row_are_kept_for_the_backward_pass(norm: torch.nn.Module) -> None:
    norm = norm.to(torch.bfloat16)
    x = torch.randn(64, 512, dtype=torch.bfloat16, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        norm(x)
    others = [each for each in kept if each.data_ptr() != x.data_ptr()]
    assert len(others) < len(kept)
    assert sum(each.nbytes for each in others) <= 64 * 3 * 4 + 512 * 2


def test_poly_norm_starts_as_the_checkpoints_do() -> None:
    norm = PolyNorm()
    assert norm.weight.tolist() == pytest.approx([1 / 3] * 3)
    assert norm.bias.tolist() == [0]


# Liger's kernels run on a GPU, or slowly in triton's interpreter, which lacks two things that they use.
LIGER_IN_TRITON_S_INTERPRETER = """
import importlib.util, sys
import torch, triton.language as tl
import liger_kernel.ops.poly_norm as liger

spec = importlib.util.spec_from_file_location("poly_norm", sys.argv[1])  # without the package, so without transformers
ours_alone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours_alone)

class Eps(float):
    def to(self, _):
        return float(self)

liger.rsqrt = lambda x: 1.0 / tl.sqrt(x)
torch.manual_seed(0)
norm = ours_alone.PolyNorm()
torch.nn.init.normal_(norm.weight)
torch.nn.init.normal_(norm.bias)
upstream = torch.randn(2, 3, 80)
x = torch.randn(2, 3, 80, requires_grad=True)
inputs = (x, norm.weight, norm.bias)
ours = norm(x)
theirs = liger.LigerPolyNormFunction.apply(x, norm.weight, norm.bias.view(()), Eps(ours_alone.EPS), False)
torch.testing.assert_close(ours, theirs)
for one, other in zip(torch.autograd.grad(ours, inputs, upstream), torch.autograd.grad(theirs, inputs, upstream)):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
print("equal")
"""


def test_liger_s_kernels_give_the_same_values_and_gradients() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGER_IN_TRITON_S_INTERPRETER, inspect.getfile(PolyNorm)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("equal\n"), done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="liger-kernel's kernels need a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_the_module_gives_what_it_gives_on_cpu(dtype: torch.dtype) -> None:
    norm = poly_norm(0).to(dtype)
    x, upstream = torch.randn(2, 64, 1024, dtype=dtype, requires_grad=True), torch.randn(2, 64, 1024, dtype=dtype)
    here = norm(x)
    mine = torch.autograd.grad(here, (x, norm.weight, norm.bias), upstream)
    norm, y = norm.cuda(), x.detach().cuda().requires_grad_()
    there = norm(y)
    theirs = torch.autograd.grad(there, (y, norm.weight, norm.bias), upstream.cuda())
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2  # the kernel raises to powers in x's own type
    torch.testing.assert_close(there.cpu(), here, rtol=tolerance, atol=tolerance)
    for one, other in zip(mine, theirs):
        torch.testing.assert_close(other.cpu(), one, rtol=tolerance, atol=tolerance * upstream.numel() ** 0.5)
