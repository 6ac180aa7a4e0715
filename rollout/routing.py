"""Which engine takes the next request."""

from __future__ import annotations


class LeastLoaded:
    """Hands work to the engine with the least of it in flight, the lowest number first. Pure; loads in responses."""

    def __init__(self, engines: int) -> None:
        self._load = [0] * engines

    def assign(self, responses: int) -> int:
        """The engine that takes `responses` more; say `done` when they are back."""
        engine = self._load.index(min(self._load))
        self._load[engine] += responses
        return engine

    def done(self, engine: int, responses: int) -> None:
        """`responses` that were assigned to `engine` have come back or are lost."""
        if responses > self._load[engine]:
            raise ValueError(f"engine {engine} has {self._load[engine]} responses in flight, not {responses}")
        self._load[engine] -= responses

    @property
    def load(self) -> tuple[int, ...]:
        """Responses in flight on each engine."""
        return tuple(self._load)
