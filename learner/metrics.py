"""The metrics of a batch: exact sums over tokens, micro-batches, optimiser steps and ranks.

Means are over the weighted trainable tokens of all optimiser steps of the batch (that of the loss over what the loss is
normalised by), independent of ranks and packing:

policy/entropy        entropy of pi_theta over the whole vocabulary (exact, not sampled), before each step; nats
policy/clip_low       share of tokens with rho < 1 - eps_low and A < 0: their gradient is cut
policy/clip_high      share of tokens with rho > 1 + eps_high and A > 0
policy/clip_dual      share of tokens with rho > learner.dual_clip and A < 0: their gradient is cut; only with one
policy/is_truncated   share of tokens with pi_prox / mu > c (0 with `proximal: behaviour`)
policy/ratio_max      largest rho
policy/reference_kl   KL(pi_theta || pi_ref) by weighted k3, before each step; only with learner.kl_coef; nats
loss/policy           the loss, before each step, the KL term included

The next three compare mu with pi_taken, the policy the batch was taken with, before any step of the batch. Both KLs are
KL(mu || pi_taken) by the k3 estimator: the mean of r - 1 - log r with r = pi_taken / mu, unbiased and never negative.
They see every token of the batch once; with `proximal: behaviour` and several steps a batch, where no pass under
pi_taken is made, those of the first step, which are a random part of it.

policy/mismatch_kl    over tokens sampled by the very version the batch was taken with: engine against learner numerics
                      (launch/evaluation/mismatch.py has some sampled for batches that have none)
policy/mismatch_abs   mean |log pi_taken - log mu| over the same tokens
policy/offpolicy_kl   over all tokens: staleness and reuse included

optim/grad_norm       global gradient norm before clipping, mean over the steps that were applied
optim/lr              of the last step
optim/skipped         steps skipped because a loss or gradient was not finite
packing/padding       share of computed tokens that is padding, mean over the steps
packing/imbalance     FLOPs of the most loaded data-parallel rank over the mean, minus 1, mean over the steps
tokens/trained        trainable tokens, counted once a pass
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from reprise.learner.losses import LossSum
from reprise.learner.train_engine import OptimizerStep, TrainEngine

_MEANS = (
    "policy/entropy",
    "policy/clip_low",
    "policy/clip_high",
    "policy/clip_dual",
    "policy/is_truncated",
    "policy/mismatch_kl",
    "policy/mismatch_abs",
    "policy/offpolicy_kl",
    "policy/reference_kl",
    "loss/policy",
)


class PolicyTally:
    """Accumulates the token metrics of one batch on a rank; `reduce` makes them global."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(len(_MEANS), 2, dtype=torch.float64, device=device)
        self._ratio_max = torch.full((), -torch.inf, dtype=torch.float64, device=device)

    def _add(self, name: str, total: torch.Tensor, count: torch.Tensor | float) -> None:
        """Add `count` tokens that sum to `total`; a sum that is not finite (its step is skipped) is left out."""
        entry = torch.stack([total.detach().double(), torch.as_tensor(count, device=total.device).double()])
        self._sums[_MEANS.index(name)] += torch.where(entry[0].isfinite(), entry, 0.0)

    def add_loss(self, loss: LossSum, entropies: torch.Tensor, divisor: float) -> None:
        """A rank's share of a micro-batch; entropies float32[M]; `divisor` is the loss's normaliser for each token."""
        count = len(entropies)
        self._add("policy/entropy", entropies.double().sum(), count)
        self._add("policy/clip_low", loss.clip_low, count)
        self._add("policy/clip_high", loss.clip_high, count)
        self._add("policy/is_truncated", loss.is_truncated, count)
        self._add("loss/policy", loss.total, count * divisor)
        if loss.clip_dual is not None:
            self._add("policy/clip_dual", loss.clip_dual, count)
        if loss.kl is not None:
            self._add("policy/reference_kl", loss.kl, count)
        if count:
            self._ratio_max = torch.fmax(self._ratio_max, loss.ratio.max().double())

    def add_mismatch(self, taken: torch.Tensor, behaviour: torch.Tensor, current: torch.Tensor) -> None:
        """float32[M] log pi_taken and log mu; bool[M] whether the token was sampled by the version that was taken."""
        log_ratio = taken.double() - behaviour.double()
        k3 = torch.expm1(log_ratio) - log_ratio
        self._add("policy/offpolicy_kl", k3.sum(), len(k3))
        self._add("policy/mismatch_kl", k3[current].sum(), current.sum())
        self._add("policy/mismatch_abs", log_ratio[current].abs().sum(), current.sum())

    def reduce(self, engine: TrainEngine) -> dict[str, float]:
        """The metrics over all ranks (collective). A mean without a token to average over is left out."""
        sums = engine.sum_over_ranks(self._sums).tolist()
        means = {name: total / count for name, (total, count) in zip(_MEANS, sums) if count}
        largest = engine.max_over_ranks(self._ratio_max).item()
        return means | ({"policy/ratio_max": largest} if largest > -torch.inf else {})


def step_metrics(steps: Sequence[OptimizerStep]) -> dict[str, float]:
    """The metrics that belong to steps rather than tokens."""
    norms = [s.grad_norm for s in steps if s.applied]
    metrics: dict[str, float] = {
        "optim/skipped": len(steps) - len(norms),
        "tokens/trained": sum(s.tokens for s in steps),
    }
    if norms:
        metrics["optim/grad_norm"] = float(np.mean(norms))
    if steps:
        metrics |= {
            "optim/lr": steps[-1].lr,
            "packing/padding": float(np.mean([s.padding for s in steps])),
            "packing/imbalance": float(np.mean([s.imbalance for s in steps])),
        }
    return metrics
