"""Clips and normalisers that contradict a loss's paper are told; the defaults are the papers'."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reprise.learner.objective_notes import objective_notes
from reprise.learner.settings import LearnerSettings


def notes(normalize_std: bool = False, old_tokens: bool = False, **changed: Any) -> str:
    return "\n".join(objective_notes(LearnerSettings(**changed), normalize_std, old_tokens))


@pytest.mark.parametrize(
    ("loss", "bounds"),
    [("grpo", (0.8, 1.28)), ("dr_grpo", (0.8, 1.28)), ("gspo", (1 - 3e-4, 1 + 4e-4)), ("cispo", (0.0, 5.0))],
)
def test_a_loss_clips_where_its_paper_does_unless_told_otherwise(loss: Any, bounds: tuple[float, float]) -> None:
    assert LearnerSettings(loss=loss).ratio_bounds == pytest.approx(bounds)
    assert LearnerSettings(loss=loss, clip_low=0.1, clip_high=0.3).ratio_bounds == pytest.approx((0.9, 1.3))
    assert notes(loss=loss, minibatches=2) == ""


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"loss": "gspo", "clip_low": 0.2, "clip_high": 0.28}, "gspo hardly ever clips at 0.8 and 1.28"),
        ({"loss": "grpo", "clip_low": 3e-4, "clip_high": 4e-4}, "most gradients will be cut"),
        ({"loss": "cispo", "clip_low": 0.2}, "cispo bounds the ratio below at 0.8, its paper does not"),
    ],
)
def test_clips_that_contradict_the_paper_are_told_where_they_act(changed: dict[str, Any], told: str) -> None:
    assert told in notes(minibatches=2, **changed)
    assert notes(**changed) == "", "one step a batch and a recomputed proximal policy: nothing is clipped"


def test_dr_grpo_with_the_standard_deviation_in_is_told() -> None:
    assert "not Dr. GRPO" in notes(loss="dr_grpo", normalize_std=True)
    assert notes(loss="grpo", normalize_std=True) == ""


def test_an_unbounded_ratio_of_old_tokens_is_told() -> None:
    assert "learner.dual_clip bounds it" in notes(proximal="behaviour", old_tokens=True)
    assert notes(proximal="behaviour", old_tokens=True, dual_clip=3) == ""
    assert notes(proximal="behaviour", old_tokens=True, loss="cispo") == ""
    assert notes(proximal="behaviour") == ""


def test_a_dual_clip_where_no_gradient_is_cut_is_refused() -> None:
    with pytest.raises(ValidationError, match="dual_clip is for losses that cut gradients"):
        LearnerSettings(loss="cispo", dual_clip=3)
