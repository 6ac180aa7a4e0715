"""The RL objective on a train engine: batches of groups in, optimiser steps and metrics out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from reprise.core.types import Float32, Group
from reprise.learner.batch import PolicyDocument, policy_documents
from reprise.learner.checkpoints.client_state import State
from reprise.learner.losses import PolicyTokens, normaliser, policy_loss
from reprise.learner.metrics import PolicyTally, step_metrics
from reprise.learner.optim import rl_schedule
from reprise.learner.packing import require_fits
from reprise.learner.settings import LearnerSettings
from reprise.learner.train_engine import FrozenPolicy, OptimizerStep, Share, TrainEngine

T = TypeVar("T")


class Learner:
    """Trains an engine on groups.

    seed   orders the minibatches; the same on every rank
    """

    def __init__(self, engine: TrainEngine, settings: LearnerSettings, seed: int) -> None:
        self.engine, self.settings = engine, settings
        self._order = np.random.default_rng(seed)
        self._loss = policy_loss(settings.loss)
        self.reference: FrozenPolicy | None = None

    def hold_reference(self, folder: Path) -> None:
        """Hold the policy in a Hugging Face folder for the KL term (collective)."""
        self.reference = self.engine.frozen(folder)

    def train_batch(self, batch: Sequence[Group], version: int) -> dict[str, float]:
        """`epochs` passes over a batch in `minibatches` disjoint random parts, an optimiser step each; its metrics.

        The groups carry advantages; `version` is that of the policy before the batch. learner.metrics defines the
        metrics, which are the same on every rank. A step whose loss or gradient is not finite leaves weights and
        optimiser state untouched on every rank. Raises UserError for a trajectory longer than the token budget.
        """
        require_fits((t for group in batch for t in group.trajectories), self.settings.token_budget)
        documents = policy_documents(batch)
        first_epoch = self._minibatches(documents)
        ahead = self.settings.proximal == "recompute" and self.settings.steps_per_batch > 1
        if ahead:
            # Minibatch by minibatch: in the rows of the steps to come, so that rounding is theirs too and a ratio is
            # exactly 1 before the first step. gspo's clip is narrower than what bfloat16 differs by in other rows.
            for part in first_epoch:
                for doc, proximal in zip(part, self.engine.document_logprobs([d.document for d in part])):
                    doc.proximal = proximal
        if self.settings.kl_coef:
            if self.reference is None:
                raise RuntimeError("learner.kl_coef is set and no reference is held: call hold_reference first")
            for doc, reference in zip(documents, self.reference.logprobs([d.document for d in documents])):
                doc.reference = reference

        tally, steps = PolicyTally(self.engine.device), list[OptimizerStep]()
        for epoch in range(self.settings.epochs):
            for part in first_epoch if epoch == 0 else self._minibatches(documents):
                measured = epoch == 0 and (ahead or not steps)
                steps.append(self._policy_step(part, version, tally, measured))
        return tally.reduce(self.engine) | step_metrics(steps)

    def _minibatches(self, documents: list[PolicyDocument]) -> list[list[PolicyDocument]]:
        """Disjoint random parts, none of them empty."""
        if not documents:
            return []
        order = self._order.permutation(len(documents))
        parts = np.array_split(order, min(self.settings.minibatches, len(documents)))
        return [[documents[i] for i in part] for part in parts]

    def _policy_step(
        self, documents: list[PolicyDocument], version: int, tally: PolicyTally, measured: bool
    ) -> OptimizerStep:
        """One optimiser step of the objective; `measured`: compare the behaviour policy with the one that was taken."""

        def loss_of(share: Share, logprobs: torch.Tensor, entropies: torch.Tensor | None) -> torch.Tensor:
            docs = [documents[i] for i in share.indices]
            behaviour = share.of([d.behaviour for d in docs])
            taken = _given(share, [d.proximal for d in docs], logprobs.detach())
            loss = self._loss.compute(
                PolicyTokens(
                    logprobs,
                    proximal=taken if self.settings.proximal == "recompute" else behaviour,
                    behaviour=behaviour,
                    advantages=share.of([np.full(len(d.behaviour), d.advantage, np.float32) for d in docs]),
                    trajectories=share.documents,
                    lengths=torch.tensor([float(len(d.behaviour)) for d in docs], device=self.engine.device),
                    reference=_given(share, [d.reference for d in docs], None),
                    across=share.across,
                ),
                self.settings,
            )
            assert entropies is not None
            tally.add_loss(loss, entropies, divisor / tokens)
            if measured:
                tally.add_mismatch(taken, behaviour, share.of([d.versions for d in docs]) == version)
            return loss.total

        tokens = sum(len(d.behaviour) for d in documents)
        divisor = normaliser(self._loss, self.settings, tokens=tokens, sequences=len(documents))
        lr = rl_schedule(self.settings).at(self.engine.optimizer_steps)
        return self.engine.optimizer_step([d.document for d in documents], lr, loss_of, divisor, with_entropy=True)

    # ---- state -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, object]:
        """What must be saved beside the engine's: the random state of the minibatches' order."""
        return {"order": self._order.bit_generator.state}

    def load_state(self, state: State) -> None:
        self._order.bit_generator.state = state["order"]


def _given(share: Share, arrays: list[Float32 | None], otherwise: T) -> torch.Tensor | T:
    """This rank's tokens of arrays that either all documents have or none."""
    known = [a for a in arrays if a is not None]
    return share.of(known) if known else otherwise
