from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from loss_twins import full_log_softmax
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._python_dispatch import TorchDispatchMode

from reprise.learner.logprobs import ROWS, VOCABULARY, entropies, logprobs_and_entropies, selected_logprobs

Call = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def with_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    return logprobs_and_entropies(hidden, weight, targets, temperature)[0]


def inputs(
    rows: int, width: int, vocabulary: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(rows, width).to(dtype).requires_grad_()
    return hidden, torch.randn(vocabulary, width).to(dtype).requires_grad_(), torch.randint(0, vocabulary, (rows,))


def relative(got: torch.Tensor | None, wanted: torch.Tensor | None) -> float:
    assert got is not None
    assert wanted is not None
    return ((got.double() - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("call", [selected_logprobs, with_entropy])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_gradients_and_entropy_equal_full_logits(call: Call, temperature: float) -> None:
    hidden, weight, targets = inputs(ROWS + 100, 16, VOCABULARY + 900)  # more than one piece each way
    upstream = torch.randn(len(hidden))
    ours = call(hidden, weight, targets, temperature)
    ours.backward(upstream)

    h, w = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    full = full_log_softmax(h, w, temperature)
    chosen = full.gather(1, targets[:, None])[:, 0]
    chosen.backward(upstream.double())
    torch.testing.assert_close(ours.double(), chosen.detach(), rtol=1e-5, atol=1e-5)
    assert relative(hidden.grad, h.grad) < 1e-5
    assert relative(weight.grad, w.grad) < 1e-5
    exact = -(full.exp() * full).sum(-1).detach()
    torch.testing.assert_close(entropies(hidden, weight, temperature).double(), exact, rtol=1e-5, atol=1e-5)
    assert not entropies(hidden, weight, temperature).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_capped_logits_have_the_values_gradients_and_entropies_of_full_ones(dtype: torch.dtype) -> None:
    hidden, weight, targets = inputs(ROWS + 100, 16, VOCABULARY + 900, dtype)
    upstream = torch.randn(len(hidden))
    ours, entropy = logprobs_and_entropies(hidden, weight, targets, 0.7, cap=3.0)  # logits have a deviation of 4
    ours.backward(upstream)

    h, w = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    full = (3.0 * torch.tanh(h @ w.T / 3.0) / 0.7).log_softmax(-1)
    chosen = full.gather(1, targets[:, None])[:, 0]
    chosen.backward(upstream.double())
    torch.testing.assert_close(ours.double(), chosen.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy.double(), -(full.exp() * full).sum(-1).detach(), rtol=1e-5, atol=1e-5)
    rounding = 1e-5 if dtype == torch.float32 else 2**-8 / 2
    assert relative(hidden.grad, h.grad) < rounding
    assert relative(weight.grad, w.grad) < rounding
    assert torch.equal(selected_logprobs(hidden, weight, targets, 0.7, cap=3.0), ours)


def test_under_bfloat16_weights_only_the_final_gradients_are_rounded() -> None:
    """Against float64 on the same bfloat16 numbers; logits rounded to bfloat16 would be off by 0.02 nats and more."""
    hidden, weight, targets = inputs(300, 64, VOCABULARY + 900, torch.bfloat16)
    upstream = torch.randn(len(hidden))
    ours, entropy = logprobs_and_entropies(hidden, weight, targets, 1.0)
    ours.backward(upstream)
    h, w = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    full = full_log_softmax(h, w, 1.0)
    chosen = full.gather(1, targets[:, None])[:, 0]
    chosen.backward(upstream.double())
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), chosen.detach(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(entropy.double(), -(full.exp() * full).sum(-1).detach(), rtol=1e-4, atol=1e-4)
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
    assert relative(hidden.grad, h.grad) < 2**-8 / 2  # half a unit in the last place
    assert relative(weight.grad, w.grad) < 2**-8 / 2


def test_liger_s_kernel_gives_the_same() -> None:
    hidden, weight, targets = inputs(200, 16, VOCABULARY + 900)
    ours = selected_logprobs(hidden, weight, targets, 0.7)
    grads = torch.autograd.grad(ours.sum(), (hidden, weight))
    theirs = LigerFusedLinearPPOBase.chunk_forward(hidden[None], weight, targets[None], temperature=0.7)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for got, wanted in zip(grads, torch.autograd.grad(theirs.sum(), (hidden, weight))):
        assert relative(got, wanted.double()) < 1e-5


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_costs_no_gradient_and_leaves_the_other_s_as_it_was(frozen: int) -> None:
    hidden, weight, targets = inputs(50, 8, 90)
    both = torch.autograd.grad(selected_logprobs(hidden, weight, targets, 1.0).sum(), (hidden, weight))
    sides = [hidden, weight]
    sides[frozen] = sides[frozen].detach()
    selected_logprobs(sides[0], sides[1], targets, 1.0).sum().backward()
    assert sides[frozen].grad is None
    assert torch.equal(sides[1 - frozen].grad, both[1 - frozen])  # type: ignore[arg-type]


# ---- memory ----------------------------------------------------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """Remembers the element count of the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_tensor_is_larger_than_one_piece_of_logits(dtype: torch.dtype) -> None:
    hidden, weight, targets = inputs(2 * ROWS + 900, 8, 2 * VOCABULARY + 800, dtype)
    with LargestTensor() as largest:
        with_entropy(hidden, weight, targets, 1.0).sum().backward()
    assert largest.elements == ROWS * VOCABULARY


def peak_bytes(rows: int, dtype: torch.dtype) -> int:
    """Live tensors beside the inputs at the worst moment, forward and backward."""
    hidden, weight, targets = inputs(rows, 8, 2 * VOCABULARY, dtype)
    tracker = MemTracker()
    with tracker:
        with_entropy(hidden, weight, targets, 1.0).sum().backward()
    return int(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_live_memory_is_two_pieces_of_logits_and_grows_with_tokens_only_by_hidden_states(dtype: torch.dtype) -> None:
    few, many = peak_bytes(ROWS, dtype), peak_bytes(4 * ROWS, dtype)
    assert few < 2.1 * ROWS * VOCABULARY * 4
    assert (many - few) / (3 * ROWS) < 150  # bytes a token; a row of logits is 32,000


def test_65536_tokens_in_one_call_equal_the_same_tokens_a_few_at_a_time() -> None:
    hidden, weight, targets = inputs(65536 + 3, 4, 50)
    ours = selected_logprobs(hidden, weight, targets, 1.0)
    (got,) = torch.autograd.grad(ours.sum(), hidden)
    for part in (slice(0, 5), slice(ROWS - 2, ROWS + 2), slice(65530, 65539)):
        exact = full_log_softmax(hidden[part], weight, 1.0).gather(1, targets[part, None])[:, 0]
        torch.testing.assert_close(ours[part], exact, rtol=1e-5, atol=1e-5)
        (wanted,) = torch.autograd.grad(exact.sum(), hidden)
        torch.testing.assert_close(got[part], wanted[part], rtol=1e-5, atol=1e-5)


def test_no_rows_give_no_log_probabilities_and_zero_gradients() -> None:
    hidden, weight, targets = inputs(0, 8, 20)
    selected_logprobs(hidden, weight, targets, 1.0).sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()
    assert len(entropies(hidden, weight, 1.0)) == 0
