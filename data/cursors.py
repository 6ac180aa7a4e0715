"""What a data cursor was saved over: it means the same records only with the same seed, mixture and data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from reprise.core.errors import UserError


def require_same(saved: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Raise `UserError` with the first of the values, by what each is called, in which a cursor and a run differ."""
    for what, value in now.items():
        if saved[what] != value:
            raise UserError(
                f"the checkpoint's place in the data is that of another run: {what} {_shown(saved[what])} there, "
                f"{_shown(value)} here; resume with the seed, mixture and data that the run was started with"
            )


def digest(texts: Iterable[str]) -> str:
    """A short digest of texts in their order."""
    made = hashlib.blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        made.update(len(encoded).to_bytes(8) + encoded)
    return made.hexdigest()


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
