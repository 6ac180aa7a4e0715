from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from learner.logprobs import entropies, selected_logprobs


class LargestTensor(TorchDispatchMode):
    """Remembers the element count of the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_gradients_and_entropy_equal_full_logits(temperature: float) -> None:
    torch.manual_seed(0)
    rows, width, vocabulary = 2100, 16, 5000  # more than one chunk each way
    hidden = torch.randn(rows, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=True)
    targets, upstream = torch.randint(0, vocabulary, (rows,)), torch.randn(rows)
    ours = selected_logprobs(hidden, weight, targets, temperature)
    ours.backward(upstream)

    h, w = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    full = (h @ w.T / temperature).log_softmax(-1)
    full.gather(1, targets[:, None])[:, 0].backward(upstream.double())
    torch.testing.assert_close(ours.double(), full.gather(1, targets[:, None])[:, 0].detach(), rtol=1e-5, atol=1e-5)
    for got, wanted in [(hidden.grad, h.grad), (weight.grad, w.grad)]:
        assert got is not None
        assert wanted is not None
        assert (got.double() - wanted).norm() / wanted.norm() < 1e-5
    exact = -(full.exp() * full).sum(-1).detach()
    torch.testing.assert_close(entropies(hidden, weight, temperature).double(), exact, rtol=1e-4, atol=1e-4)


def test_no_tensor_comes_near_the_size_of_full_logits() -> None:
    rows, width, vocabulary = 5000, 8, 9000
    hidden, weight = torch.randn(rows, width, requires_grad=True), torch.randn(vocabulary, width, requires_grad=True)
    with LargestTensor() as largest:
        selected_logprobs(hidden, weight, torch.zeros(rows, dtype=torch.long), 1.0).sum().backward()
        entropies(hidden, weight, 1.0)
    assert largest.elements <= rows * vocabulary / 5


def test_no_rows_give_no_log_probabilities_and_zero_gradients() -> None:
    hidden, weight = torch.randn(0, 8, requires_grad=True), torch.randn(20, 8, requires_grad=True)
    selected_logprobs(hidden, weight, torch.zeros(0, dtype=torch.long), 1.0).sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()
    assert len(entropies(hidden, weight, 1.0)) == 0
