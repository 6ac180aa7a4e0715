"""A stage's betas and weight decay reach every optimiser that has them, and RL gets its own back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from checkpoint_jobs import Net

from reprise.learner.engine import Engine
from reprise.learner.optim import build_optimizer
from reprise.learner.settings import LearnerSettings, TrainEngineSettings

STAGE = TrainEngineSettings(betas=(0.5, 0.6), eps=1e-6, muon_momentum=0.8, weight_decay=0.0)


class HostAdam(torch.optim.Optimizer):
    """As DeepSpeed's CPU Adam: AdamW's keys, and no AdamW of torch's."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], eps: float, **_: Any) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})


def hyperparameters(optimizer: torch.optim.Optimizer) -> set[tuple[Any, float]]:
    return {(group.get("betas"), group["weight_decay"]) for group in optimizer.param_groups}


@pytest.mark.parametrize(
    ("changed", "of_stage", "own"),
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
def test_a_stage_steps_with_its_own_and_rl_with_the_learner_s(
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    of_stage: set[tuple[Any, float]],
    own: set[tuple[Any, float]],
) -> None:
    monkeypatch.setattr("reprise.learner.optim.DeepSpeedCPUAdam", HostAdam)
    settings = LearnerSettings(weight_decay=0.3, **changed)
    on_gpu = settings.offload.optimizer  # where CPU Adam is chosen
    optimizer = build_optimizer(Net(), settings, on_gpu)
    assert isinstance(optimizer, HostAdam) == on_gpu
    optimizer.state[next(Net().parameters())] = {"exp_avg": torch.ones(1)}
    learner: Any = SimpleNamespace(engine=SimpleNamespace(basic_optimizer=optimizer), optimizer_steps=7)
    Engine.begin_stage(learner, STAGE)
    assert hyperparameters(optimizer) == of_stage
    assert {group["eps"] for group in optimizer.param_groups if "betas" in group} == {1e-6}
    assert {group["momentum"] for group in optimizer.param_groups if group["muon"]} <= {0.8}
    assert (dict(optimizer.state), learner.optimizer_steps) == ({}, 0), "moments and steps are those of the stage"
    Engine.begin_stage(learner, settings)
    assert hyperparameters(optimizer) == own
    assert {group["eps"] for group in optimizer.param_groups if "betas" in group} == {settings.eps}


def test_plain_sgd_has_no_betas_and_is_left_so() -> None:
    optimizer = build_optimizer(Net(), LearnerSettings(optimizer="sgd"), on_gpu=False)
    learner: Any = SimpleNamespace(engine=SimpleNamespace(basic_optimizer=optimizer))
    Engine.begin_stage(learner, STAGE)
    assert all("betas" not in group for group in optimizer.param_groups)
