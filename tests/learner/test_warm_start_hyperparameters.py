"""The warm start's betas and weight decay reach every optimiser that has them, and RL gets its own back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from checkpoint_jobs import Net

from reprise.learner.optim import build_optimizer
from reprise.learner.settings import LearnerSettings, WarmStartSettings
from reprise.learner.warm_start import WarmStart

WARM = WarmStartSettings(traces="a:b", steps=50, betas=(0.5, 0.6), weight_decay=0.0)


class HostAdam(torch.optim.Optimizer):
    """As DeepSpeed's CPU Adam: AdamW's keys, and no AdamW of torch's."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], eps: float, **_: Any) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})


def hyperparameters(optimizer: torch.optim.Optimizer) -> set[tuple[Any, float]]:
    return {(group.get("betas"), group["weight_decay"]) for group in optimizer.param_groups}


@pytest.mark.parametrize(
    ("changed", "warm", "own"),
    [
        ({"optimizer": "adamw"}, {((0.5, 0.6), 0.0)}, {((0.9, 0.999), 0.3), ((0.9, 0.999), 0.0)}),
        (
            {"optimizer": "muon"},  # whose matrices have a momentum and no betas
            {((0.5, 0.6), 0.0), (None, 0.0)},
            {(None, 0.3), ((0.9, 0.999), 0.3), ((0.9, 0.999), 0.0)},
        ),
        (
            {"optimizer": "adamw", "offload": {"optimizer": True}},
            {((0.5, 0.6), 0.0)},
            {((0.9, 0.999), 0.3), ((0.9, 0.999), 0.0)},
        ),
    ],
    ids=["adamw", "muon", "on the host"],
)
def test_the_warm_start_steps_with_its_own_and_leaves_rl_the_learner_s(
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    warm: set[tuple[Any, float]],
    own: set[tuple[Any, float]],
) -> None:
    monkeypatch.setattr("reprise.learner.optim.DeepSpeedCPUAdam", HostAdam)
    settings = LearnerSettings(weight_decay=0.3, **changed)
    on_gpu = settings.offload.optimizer  # where CPU Adam is chosen
    optimizer = build_optimizer(Net(), settings, on_gpu)
    assert isinstance(optimizer, HostAdam) == on_gpu
    learner: Any = SimpleNamespace(
        settings=settings, engine=SimpleNamespace(basic_optimizer=optimizer), reset_optimizer=lambda: None
    )
    stage = WarmStart(learner, WARM)
    assert hyperparameters(optimizer) == warm
    stage.finish()
    assert hyperparameters(optimizer) == own


def test_plain_sgd_has_no_betas_and_is_left_so() -> None:
    optimizer = build_optimizer(Net(), LearnerSettings(optimizer="sgd"), on_gpu=False)
    learner: Any = SimpleNamespace(settings=LearnerSettings(), engine=SimpleNamespace(basic_optimizer=optimizer))
    WarmStart(learner, WARM)
    assert all("betas" not in group for group in optimizer.param_groups)
