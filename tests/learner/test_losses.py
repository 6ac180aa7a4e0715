"""Each loss against its formula, written token by token in float64, on random ragged tokens."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.losses import PolicyTokens, sft
from learner.losses.grpo import grpo
from learner.settings import LearnerSettings

SETTINGS = LearnerSettings(clip_low=0.2, clip_high=0.28, importance_cap=1.5)


def tokens(seed: int, count: int) -> PolicyTokens:
    g = torch.Generator().manual_seed(seed)

    def noise() -> torch.Tensor:
        return torch.randn(count, generator=g)

    proximal = -2 + 0.5 * noise()
    return PolicyTokens((proximal + 0.4 * noise()).requires_grad_(), proximal, proximal + 0.4 * noise(), noise())


def twin(logprobs: torch.Tensor, given: PolicyTokens) -> tuple[torch.Tensor, int, int, int]:
    # Tied to the log-probabilities, so that there is a gradient, of zeros, where every token is clipped.
    total, low, high, capped = 0.0 * logprobs.sum(), 0, 0, 0
    for i, advantage in enumerate(given.advantages.tolist()):
        w = math.exp(given.proximal[i].item() - given.behaviour[i].item())
        capped += w > 1.5
        rho = torch.exp(logprobs[i] - given.proximal[i].item())
        bounded = rho if 0.8 <= rho.item() <= 1.28 else torch.tensor(0.8 if rho.item() < 0.8 else 1.28)
        low += rho.item() < 0.8 and advantage < 0
        high += rho.item() > 1.28 and advantage > 0
        total = total - min(w, 1.5) * min(rho * advantage, bounded * advantage)
    return total, low, high, capped


@given(st.integers(0, 2**31), st.integers(0, 40))
def test_grpo_equals_its_twin_in_value_gradient_and_counts(seed: int, count: int) -> None:
    given = tokens(seed, count)
    ours = grpo(given, SETTINGS)
    logprobs = given.logprobs.detach().double().requires_grad_()
    theirs, low, high, capped = twin(logprobs, given)
    assert ours.total.item() == pytest.approx(theirs.item(), rel=1e-5, abs=1e-5)
    assert (ours.clip_low.item(), ours.clip_high.item(), ours.is_truncated.item()) == (low, high, capped)
    if count:
        ours.total.backward()
        theirs.backward()
        assert given.logprobs.grad is not None
        assert logprobs.grad is not None
        torch.testing.assert_close(given.logprobs.grad.double(), logprobs.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"), [(1.5, 1, False), (1.5, -1, True), (0.5, -1, False), (0.5, 1, True)]
)
def test_the_clip_cuts_the_gradient_only_where_the_step_has_gone_far_enough(
    ratio: float, advantage: float, flows: bool
) -> None:
    zero = torch.zeros(1)
    logprobs = torch.tensor([math.log(ratio)], requires_grad=True)
    grpo(PolicyTokens(logprobs, zero, zero, torch.tensor([float(advantage)])), SETTINGS).total.backward()
    assert logprobs.grad is not None
    assert bool(logprobs.grad.any()) == flows


def test_no_gradient_reaches_the_importance_weight() -> None:
    logprobs = torch.tensor([-1.0], requires_grad=True)
    given = PolicyTokens(logprobs, logprobs.detach(), torch.tensor([-1.2]), torch.tensor([2.0]))
    grpo(given, SETTINGS).total.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(-2.0 * math.exp(0.2), rel=1e-6)  # w * rho * A, not w's slope as well


def test_sft_is_the_summed_negative_log_likelihood() -> None:
    assert sft(torch.tensor([-1.0, -2.5])).item() == 3.5
