"""A sandbox for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reprise.sandbox import SandboxSettings
from reprise.sandbox.pool import SandboxPool


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    """Two slots of the strongest backend, with numpy in them."""
    pool = SandboxPool(SandboxSettings(slots=2), ["numpy"])
    pool.start()
    yield pool
    pool.close()
