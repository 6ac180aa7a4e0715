from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from small_groups import settings

from reprise.core.errors import UserError


@pytest.mark.parametrize(
    ("fraction", "groups", "fresh"),
    [(0.5, 4, 2), (0.5, 5, 3), (1.0, 7, 7), (0.07, 100, 7), (0.1, 30, 3), (0.01, 4, 1), (1e-12, 4, 1), (0.26, 4, 2)],
)
def test_the_fresh_share_of_a_batch_is_rounded_up(fraction: float, groups: int, fresh: int) -> None:
    made = settings(fresh_fraction=fraction, batch_groups=groups)
    assert made.fresh_per_batch == fresh
    assert made.reused_per_batch == groups - fresh


@pytest.mark.parametrize(
    "wrong",
    [{"batch_groups": 0}, {"fresh_fraction": 0}, {"fresh_fraction": 1.1}, {"truncated": "drop"}, {"max_use": 2}],
)
def test_a_wrong_value_or_key_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_a_buffer_that_cannot_hold_a_batch_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_groups 3 cannot hold a batch of 4 groups: raise max_groups"):
        settings(max_groups=3)


@pytest.mark.parametrize(
    ("epochs", "max_uses", "fraction", "message"),
    [
        (2, 1, 1.0, "max_uses to at least 2$"),
        (1, 1, 0.5, "max_uses to at least 2, or buffer.fresh_fraction to 1$"),
        (2, 3, 0.5, "max_uses to at least 4, or buffer.fresh_fraction to 1$"),
        (3, 2, 0.5, "max_uses to at least 6$"),
    ],
)
def test_epochs_that_do_not_fit_are_refused_with_what_would(
    epochs: int, max_uses: int, fraction: float, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        settings(max_uses=max_uses, fresh_fraction=fraction).check_epochs(epochs)


@pytest.mark.parametrize(("epochs", "max_uses", "fraction"), [(1, 1, 1.0), (2, 2, 1.0), (1, 2, 0.5), (2, 4, 0.5)])
def test_epochs_that_fit_pass(epochs: int, max_uses: int, fraction: float) -> None:
    settings(max_uses=max_uses, fresh_fraction=fraction).check_epochs(epochs)
