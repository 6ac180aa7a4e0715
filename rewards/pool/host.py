"""The host of a verifier: what can be killed without loss (a Ray actor, a process) and holds one verifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reprise.rewards.base import Answer
from reprise.rewards.scoring import Verification


class HostDied(Exception):
    """The host ended by itself under a batch; the message says how, if there is more to say."""


class Host(Protocol):
    """One verifier and what it runs in. Deadlines are `VerifierPool`'s, which may cancel any of these calls."""

    async def start(self) -> Sequence[str]:
        """Start the verifier, however long that takes; its `Verifier.notes`. An exception: it did not start."""

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        """Verify a batch, as many side by side as the verifier's `concurrency`.

        HostDied if the host ended by itself; whatever else it raises, the caller of the pool gets.
        """

    async def alive(self) -> None:
        """A health check: returns at once while the host can do anything."""

    async def ended(self) -> str:
        """Returns when the host has ended by itself: how, in words; empty if there is no more to say."""

    async def close(self) -> None:
        """Release what the verifier holds; any exception if the host has ended. It is killed afterwards."""

    def kill(self) -> None:
        """End it at once, with all it has started; safe to repeat."""


def shortly(error: BaseException) -> str:
    """The kind of an error and the first line of its message, which holds the cause."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:200] if lines else type(error).__name__
