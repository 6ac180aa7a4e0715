"""Ranks shared by the multi-process tests of the learner, and the small policy they train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import batches
import pytest
from rank_pool import RankPool


@pytest.fixture(scope="session")
def pools() -> Iterator[dict[int, RankPool]]:
    """Pools of one and of two ranks, by size."""
    made = {1: RankPool(1), 2: RankPool(2)}
    yield made
    for pool in made.values():
        pool.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return batches.small_policy(tmp_path_factory.mktemp("policy"))
