"""Supervised fine-tuning: the mean negative log-likelihood of the response tokens, L = -(1/N) sum log pi_theta."""

from __future__ import annotations

import torch


def sft(logprobs: torch.Tensor) -> torch.Tensor:
    """The sum over float32[M] log-probabilities (the caller divides by the global N)."""
    return -logprobs.sum()
