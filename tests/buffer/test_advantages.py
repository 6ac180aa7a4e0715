from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_groups import INFRA_ERROR, UNPARSEABLE, group

from reprise.buffer.advantages import Reason, group_advantages, raw_variance, teaches_nothing
from reprise.core.types import Group, Verdict


def with_advantages(made: Group, normalize_std: bool = False, truncated: Literal["keep", "mask"] = "keep") -> Group:
    """The group with its advantages, which are float32 and 0 outside the loss."""
    made = group_advantages(made, normalize_std, truncated)
    assert made.advantages is not None
    assert made.weighted is not None
    assert made.advantages.dtype == np.float32
    assert not made.advantages[~made.weighted].any()
    return made


def advantages(made: Group) -> list[float]:
    assert made.advantages is not None
    return [float(a) for a in made.advantages]


def weighted(made: Group) -> list[bool]:
    assert made.weighted is not None
    return [bool(w) for w in made.weighted]


def test_advantages_are_centred_and_divided_by_the_population_deviation() -> None:
    made = with_advantages(group("g", (0.0, 0.0, 0.0, 1.0)), normalize_std=True)
    std = np.sqrt(0.25 * 0.75)
    assert advantages(made) == pytest.approx([a / (std + 1e-6) for a in (-0.25, -0.25, -0.25, 0.75)], rel=1e-6)
    assert weighted(made) == [True] * 4


def test_without_normalize_std_advantages_are_only_centred() -> None:
    assert advantages(with_advantages(group("g", (0.0, 3.0)))) == [-1.5, 1.5]


@pytest.mark.parametrize("outside", [UNPARSEABLE, INFRA_ERROR])
def test_an_unscored_trajectory_is_outside_mean_deviation_and_loss(outside: Verdict) -> None:
    with_it = with_advantages(group("g", (0.0, outside, 0.5, 1.0)), normalize_std=True)
    low, mid, high = advantages(with_advantages(group("g", (0.0, 0.5, 1.0)), normalize_std=True))
    assert advantages(with_it) == [low, 0, mid, high]
    assert weighted(with_it) == [True, False, True, True]


def test_mask_takes_a_truncated_score_out_of_the_loss_and_leaves_it_in_the_baseline() -> None:
    made = with_advantages(group("g", (0.0, 0.0, 1.0), truncated=[1]), truncated="mask")
    assert advantages(made) == pytest.approx([-1 / 3, 0, 2 / 3], rel=1e-6)
    assert weighted(made) == [True, False, True]


def test_keep_trains_on_a_truncated_score() -> None:
    assert weighted(with_advantages(group("g", (0.0, 1.0), truncated=[0]), truncated="keep")) == [True, True]


@pytest.mark.parametrize("rule", ["keep", "mask"])
def test_a_truncated_response_without_an_answer_stays_unparseable(rule: Literal["keep", "mask"]) -> None:
    made = with_advantages(group("g", (0.0, 1.0, UNPARSEABLE), truncated=[2]), truncated=rule)
    assert advantages(made) == [-0.5, 0.5, 0]
    assert weighted(made) == [True, True, False]


@pytest.mark.parametrize(
    ("verdicts", "truncated", "reason"),
    [
        ((0.0, 1.0), [], None),
        ((0.0, 1.0, UNPARSEABLE, INFRA_ERROR), [], None),
        ((1.0, 1.0), [], Reason.ZERO_VARIANCE),
        ((0.1, 0.1, 0.1), [], Reason.ZERO_VARIANCE),
        ((0.0, 1.9e-6), [], Reason.ZERO_VARIANCE),
        ((0.0, 2.1e-6), [], None),
        ((1.0, UNPARSEABLE), [], Reason.TOO_FEW_SCORED),
        ((INFRA_ERROR, UNPARSEABLE), [], Reason.TOO_FEW_SCORED),
        ((0.0, 1.0), [0, 1], Reason.ALL_MASKED),
        ((0.0, 0.5, 1.0), [0, 2], Reason.ALL_MASKED),  # what is left sits on the mean
        ((0.0, 0.0, 1.0), [2], None),
    ],
)
def test_why_a_group_teaches_nothing(
    verdicts: tuple[float | Verdict, ...], truncated: list[int], reason: Reason | None
) -> None:
    made = with_advantages(group("g", verdicts, truncated=truncated), normalize_std=True, truncated="mask")
    assert teaches_nothing(made) == reason


def test_a_group_whose_only_advantages_are_on_empty_responses_teaches_nothing() -> None:
    assert teaches_nothing(with_advantages(group("g", (0.0, 1.0), versions=()))) == Reason.ALL_MASKED


def test_a_trajectory_without_a_verdict_is_an_error() -> None:
    with pytest.raises(ValueError, match="'g' has a trajectory without a verdict"):
        with_advantages(group("g", (0.0, None)))


scores = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.one_of(scores, st.sampled_from([UNPARSEABLE, INFRA_ERROR])), min_size=1, max_size=9), st.booleans())
def test_advantages_sum_to_zero_and_follow_the_order_of_scores(
    verdicts: list[float | Verdict], normalize_std: bool
) -> None:
    made = advantages(with_advantages(group("g", verdicts), normalize_std))
    scored = [(s, a) for s, a in zip(verdicts, made) if isinstance(s, float)]
    scale = max((abs(a) for _, a in scored), default=0.0)
    assert abs(sum(a for _, a in scored)) <= 1e-5 * max(scale, 1.0)
    assert [a for _, a in sorted(scored, key=lambda pair: pair[0])] == sorted(a for _, a in scored)
    assert all(a == 0 for s, a in zip(verdicts, made) if not isinstance(s, float))


def test_raw_variance_is_of_unrounded_scores() -> None:
    assert raw_variance(group("g", (1e6, 1e6 + 0.01))) == pytest.approx(2.5e-5, rel=1e-6)
    assert raw_variance(group("g", (1.0, UNPARSEABLE))) == 0
