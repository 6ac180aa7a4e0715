from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from reprise.core.errors import UserError
from reprise.learner.optim import build_optimizer, rl_schedule, sft_schedule
from reprise.learner.settings import LearnerSettings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schedule": "cosine"}, "decay_steps"),
        ({"decay_steps": 10}, "belong together"),
        ({"schedule": "cosine", "decay_steps": 5, "warmup_steps": 5}, "above warmup_steps"),
        ({"optimizer": "sgd", "weight_decay": 0.1}, "sgd takes no weight_decay"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"importance_cap": 0.5}, "importance_cap"),
        ({"no_such_key": 1}, "no_such_key"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LearnerSettings(**changed)


def test_clipping_does_nothing_with_one_step_a_batch_and_a_recomputed_proximal_policy() -> None:
    assert not LearnerSettings().clipping_is_active
    assert LearnerSettings(minibatches=2).clipping_is_active
    assert LearnerSettings(epochs=2).clipping_is_active
    assert LearnerSettings(proximal="behaviour").clipping_is_active


def test_the_rate_rises_linearly_and_stays() -> None:
    schedule = rl_schedule(LearnerSettings(lr=1.0, warmup_steps=3))
    assert [schedule.at(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_rate_falls_along_half_a_cosine_to_zero() -> None:
    schedule = rl_schedule(LearnerSettings(lr=2.0, warmup_steps=10, schedule="cosine", decay_steps=110))
    assert [schedule.at(step) for step in (10, 60, 110, 500)] == pytest.approx([2.0, 1.0, 0.0, 0.0])


def test_warmup_stable_decay_falls_linearly_over_its_last_part() -> None:
    schedule = rl_schedule(
        LearnerSettings(lr=1.0, warmup_steps=10, schedule="wsd", decay_steps=100, decay_fraction=0.2)
    )
    assert [schedule.at(step) for step in (9, 10, 80, 90, 100)] == pytest.approx([10 / 11, 1.0, 1.0, 0.5, 0.0])


def test_an_sft_stage_has_the_schedule_of_its_own_steps() -> None:
    rates = {kind: sft_schedule(2.0, 2, kind, 12, 0.5).at(7) for kind in ("constant", "linear", "cosine", "wsd")}
    assert rates == pytest.approx({"constant": 2.0, "linear": 1.0, "cosine": 1.0, "wsd": 2.0 * 5 / 6})
    assert sft_schedule(1.0, 0, "wsd", 3, 0.0).at(2) == 1.0
    with pytest.raises(UserError, match=r"cosine over 5 optimiser steps does not fit warmup_steps \(5\)"):
        sft_schedule(1.0, 5, "cosine", 5, 0.5)


def test_a_stage_may_decay_linearly_over_its_last_part() -> None:
    schedule = sft_schedule(1.0, 0, "wsd", 100, 0.5)
    assert [schedule.at(step) for step in (0, 50, 75, 99)] == pytest.approx([1.0, 1.0, 0.5, 0.02])
    assert all(sft_schedule(1.0, 0, "constant", 100, 0.5).at(step) == 1.0 for step in (0, 75, 99))


def test_weight_decay_falls_on_matrices_only() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    optimizer = build_optimizer(module, LearnerSettings(weight_decay=0.1), on_gpu=False)
    decay = {p.ndim: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {2: 0.1, 1: 0.0}
