"""The noise of a request: its own, whatever else the engine samples and whenever it was started."""

from __future__ import annotations

import hashlib

# vLLM gives response i of a request the seed of the request + i, and keeps seeds in 64 signed bits.
_BITS = 62


def request_seed(seed: int, group_id: str) -> int:
    """The seed of a group's request, in a run with `seed`: of 62 bits, so that those of two groups are far apart."""
    digest = hashlib.blake2b(f"{seed}/{group_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - _BITS)
