"""Which side of the train / held-out split a generated problem is on."""

from __future__ import annotations

import hashlib
from typing import Literal

from reprise.core.errors import UserError

Split = Literal["train", "held_out"]

_HELD_OUT_ONE_IN = 5


def is_held_out(problem: str) -> bool:
    """Whether a problem belongs to the held-out fifth: a property of its text alone, whatever seed drew it."""
    digest = hashlib.blake2b(problem.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % _HELD_OUT_ONE_IN == 0


def on_side(problem: str, split: Split) -> bool:
    """Whether a problem belongs to `split`. Raises UserError if that is neither train nor held_out."""
    if split not in ("train", "held_out"):
        raise UserError(f"split is {split!r}; it can be train or held_out")
    return is_held_out(problem) == (split == "held_out")
