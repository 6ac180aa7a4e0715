"""Supervised steps and evaluation on an engine: the mean negative log-likelihood of documents' targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from reprise.core.errors import UserError
from reprise.learner.losses import sft
from reprise.learner.packing import Document
from reprise.learner.train_engine import OptimizerStep, Share, TrainEngine


def sft_step(engine: TrainEngine, documents: Sequence[Document], lr: float) -> tuple[float, OptimizerStep]:
    """One optimiser step on the documents, the same on every rank; the loss before it, nats a token (collective).

    Raises UserError for a document longer than the token budget.
    """
    _require_fits(documents, engine.settings.token_budget)
    total = torch.zeros((), dtype=torch.float64, device=engine.device)

    def loss_of(share: Share, logprobs: torch.Tensor, entropies: torch.Tensor | None) -> torch.Tensor:
        loss = sft(logprobs)
        total.add_(loss.detach().double())
        return loss

    step = engine.optimizer_step(documents, lr, loss_of)
    return engine.sum_over_ranks(total).item() / step.tokens, step


def evaluate(engine: TrainEngine, documents: Mapping[str, Sequence[Document]]) -> dict[str, float]:
    """Mean negative log-likelihood of each domain's targets, nats a token (collective)."""
    flat = [d for domain in documents.values() for d in domain]
    _require_fits(flat, engine.settings.token_budget)
    logprobs = iter(engine.document_logprobs(flat))
    means = {}
    for domain, held in documents.items():
        values = [next(logprobs) for _ in held]
        means[domain] = -sum(float(v.sum(dtype="float64")) for v in values) / max(1, sum(map(len, values)))
    return means


def _require_fits(documents: Sequence[Document], token_budget: int) -> None:
    longest = max((d.length for d in documents), default=0)
    if longest > token_budget:
        raise UserError(
            f"a document of {longest} tokens does not fit learner.token_budget {token_budget}; raise it to at least "
            f"{longest}"
        )
