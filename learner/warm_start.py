"""The warm start: a minimal supervised stage through the learner's own engine, before RL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reprise.core.types import Int32
from reprise.learner.engine import Engine
from reprise.learner.metrics import step_metrics
from reprise.learner.optim import set_betas, set_weight_decay, warm_start_schedule
from reprise.learner.packing import document
from reprise.learner.settings import WarmStartSettings
from reprise.learner.sft import sft_step
from reprise.learner.train_engine import OptimizerStep


class WarmStart:
    """Supervised steps on a learner, with their own schedule and betas, until `finish` hands it to RL.

    The loss is the mean negative log-likelihood of response tokens at the learner's temperature, so that the policy
    which the engines will sample is the one that is fitted.
    """

    def __init__(self, learner: Engine, settings: WarmStartSettings) -> None:
        self.learner, self.settings = learner, settings
        self._schedule = warm_start_schedule(settings)
        self._set_hyperparameters(settings.betas, settings.weight_decay)

    def sft_steps(self, traces: Sequence[tuple[Int32, Int32]]) -> dict[str, float]:
        """One optimiser step for every `batch_size` of the (prompt_ids, response_ids); the same traces on every rank.

        Returns `loss/sft` (nats a token), the mean over the steps that were applied, and `step_metrics`. Collective.
        """
        size = self.settings.batch_size
        if not traces or len(traces) % size:
            raise ValueError(f"{len(traces)} traces do not make whole optimiser steps of {size}")
        losses, steps = zip(*(self._step(traces[i : i + size]) for i in range(0, len(traces), size)))
        metrics = step_metrics(steps)
        if applied := [loss for loss, s in zip(losses, steps) if s.applied]:
            metrics["loss/sft"] = float(np.mean(applied))
        return metrics

    def _step(self, traces: Sequence[tuple[Int32, Int32]]) -> tuple[float, OptimizerStep]:
        lr = self._schedule.at(self.learner.optimizer_steps)
        return sft_step(self.learner, [document(*trace) for trace in traces], lr)

    def finish(self) -> None:
        """Restore the learner's own hyperparameters and forget the optimiser state: RL takes only the weights."""
        self._set_hyperparameters(self.learner.settings.betas, self.learner.settings.weight_decay)
        self.learner.reset_optimizer()

    def _set_hyperparameters(self, betas: tuple[float, float], weight_decay: float) -> None:
        optimizer = self.learner.engine.basic_optimizer
        set_betas(optimizer, betas)
        set_weight_decay(optimizer, weight_decay)
