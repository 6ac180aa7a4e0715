"""Ratios that float32 cannot hold, and what bounds those that it can: values and gradients stay finite and right."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reprise.learner.losses import PolicyTokens, policy_loss
from reprise.learner.losses.ratios import LARGEST_LOG_RATIO
from reprise.learner.losses.reference_kl import reference_kl
from reprise.learner.settings import LOSSES as BUILT_IN
from reprise.learner.settings import LearnerSettings

LOSSES = sorted(BUILT_IN)
CLIPPED = ("grpo", "dr_grpo", "gspo")


def one_token(
    loss: str,
    logprob: float,
    advantage: float,
    proximal: float = -100.0,
    behaviour: float | None = None,
    reference: float | None = None,
    **changed: float | None,
) -> tuple[float, float, int]:
    """Value, gradient and the count of `clip_dual` for a trajectory of one token."""
    leaf = torch.tensor([logprob], requires_grad=True)
    tokens = PolicyTokens(
        leaf,
        torch.tensor([proximal]),
        torch.tensor([proximal if behaviour is None else behaviour]),
        torch.tensor([advantage]),
        torch.zeros(1, dtype=torch.long),
        torch.ones(1),
        None if reference is None else torch.tensor([reference]),
    )
    settings = LearnerSettings(**{"loss": loss, **changed})
    found = policy_loss(loss).compute(tokens, settings)
    found.total.backward()
    assert leaf.grad is not None
    return found.total.item(), leaf.grad.item(), 0 if found.clip_dual is None else int(found.clip_dual)


@pytest.mark.parametrize("loss", CLIPPED)
@pytest.mark.parametrize("logprob", [-11.0, -5.0, 0.0])
def test_a_clipped_token_has_the_gradient_zero_however_large_its_ratio(loss: str, logprob: float) -> None:
    """e^89 and e^100 are infinite in float32: 0 * inf would be NaN, and the whole step skipped."""
    value, gradient, _ = one_token(loss, logprob, advantage=2.0)
    assert gradient == 0
    assert value == pytest.approx(-2 * LearnerSettings(loss=loss).ratio_bounds[1])


@pytest.mark.parametrize("loss", LOSSES)
@hypothesis_settings(max_examples=150)
@given(
    logprob=st.floats(-1e4, 0),
    proximal=st.floats(-1e4, 0),
    behaviour=st.floats(-1e4, 0) | st.just(-math.inf),
    reference=st.floats(-1e4, 0),
    advantage=st.floats(-5, 5),
)
def test_no_log_probability_makes_a_loss_or_gradient_that_is_not_finite(
    loss: str, logprob: float, proximal: float, behaviour: float, reference: float, advantage: float
) -> None:
    value, gradient, _ = one_token(loss, logprob, advantage, proximal, behaviour, reference, kl_coef=0.1)
    assert math.isfinite(value)
    assert math.isfinite(gradient)


@pytest.mark.parametrize("loss", CLIPPED)
def test_a_ratio_with_a_negative_advantage_is_exact_until_it_is_held(loss: str) -> None:
    below = LARGEST_LOG_RATIO - 1
    value, gradient, _ = one_token(loss, -100 + below, advantage=-1.0)
    assert value == gradient == pytest.approx(math.exp(below), rel=1e-5)
    value, gradient, _ = one_token(loss, -100 + 2 * LARGEST_LOG_RATIO, advantage=-1.0)
    assert value == pytest.approx(math.exp(LARGEST_LOG_RATIO), rel=1e-5)
    assert gradient == 0


@pytest.mark.parametrize("loss", CLIPPED)
@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "gradient", "cut"),
    [(2.9, -2.0, 5.8, 5.8, 0), (3.1, -2.0, 6.0, 0.0, 1), (3.1, 2.0, -2.56, 0.0, 0), (0.5, -2.0, 1.6, 0.0, 0)],
)
def test_a_dual_clip_bounds_the_ratio_where_the_advantage_is_negative(
    loss: str, ratio: float, advantage: float, value: float, gradient: float, cut: int
) -> None:
    found = one_token(loss, math.log(ratio), advantage, 0.0, clip_low=0.2, clip_high=0.28, dual_clip=3.0)
    assert found == (pytest.approx(value), pytest.approx(gradient), cut)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_kl_term_pulls_evenly_towards_a_reference_that_is_very_far(loss: str) -> None:
    """e^200 is infinite in float32; the gradient is r * log(pi / pi_ref) all the same."""
    value, gradient, _ = one_token(loss, -200.0, 0.0, -200.0, reference=0.0, kl_coef=1.0)
    assert value == pytest.approx(math.exp(LARGEST_LOG_RATIO), rel=1e-5)
    assert gradient == -200.0


# ---- the KL term, off-policy -----------------------------------------------------------------------------------------


def expected_kl_term(logits: torch.Tensor, mu: torch.Tensor, reference: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Value and gradient in the logits of the term's expectation over tokens of mu: every word once, times mu."""
    leaf = logits.clone().requires_grad_()
    every = torch.zeros_like(logits)
    share = mu.exp()
    tokens = PolicyTokens(leaf.log_softmax(-1), mu, mu, every, every.long(), every[:1] + len(every), reference)
    penalty, _ = reference_kl(tokens, LearnerSettings(kl_coef=1, importance_cap=1e6), share)
    assert isinstance(penalty, torch.Tensor)
    penalty.backward()
    assert leaf.grad is not None
    return penalty.item(), leaf.grad


@hypothesis_settings(max_examples=50)
@given(seed=st.integers(0, 2**31), apart=st.floats(0, 2))
def test_the_kl_term_is_unbiased_in_value_and_gradient_though_an_older_policy_sampled(seed: int, apart: float) -> None:
    """Against KL(pi || pi_ref) of the whole distribution, in float64."""
    g = torch.Generator().manual_seed(seed)
    logits, shift, other = (torch.randn(7, generator=g, dtype=torch.float64) for _ in range(3))
    mu, reference = ((logits + a * b).log_softmax(-1) for a, b in ((apart, shift), (0.5, other)))
    leaf = logits.clone().requires_grad_()
    exact = (leaf.softmax(-1) * (leaf.log_softmax(-1) - reference)).sum()
    exact.backward()
    value, gradient = expected_kl_term(logits, mu, reference)
    assert value == pytest.approx(exact.item(), rel=1e-9, abs=1e-12)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-8, atol=1e-10)
