"""Is one actor well, and when may it be restarted? A state machine, fed with events.

    STARTING ──started──▶ HEALTHY ◀──answered── SUSPECT
        │                    └────missed──────────▶│
        └────────── DEAD ◀──died── (any) ◀──missed─┘       DEAD ──restarting──▶ STARTING

Nothing leads from DEAD to HEALTHY but a start that succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """SUSPECT gets no new work; what it works on may still come."""

    STARTING = "starting"
    HEALTHY = "healthy"
    SUSPECT = "suspect"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits of an actor's failures.

    starts          failed starts in a row after which it is given up
    misses          health checks in a row without an answer after which it is taken for dead
    back_off_s      seconds before the start after a failed one; doubles with each further one
    max_back_off_s  and goes no further
    """

    starts: int = 3
    misses: int = 2
    back_off_s: float = 1.0
    max_back_off_s: float = 30.0


class Health:
    """The state of one actor."""

    def __init__(self, patience: Patience) -> None:
        self.state = State.STARTING
        self._patience = patience
        self._misses = 0
        self._failed_starts = 0
        self._deaths = 0  # by itself, since it last returned verdicts

    def started(self) -> None:
        """A start succeeded."""
        self._expect(State.STARTING)
        self.state, self._misses, self._failed_starts = State.HEALTHY, 0, 0

    def start_failed(self) -> None:
        """A start failed, or took too long."""
        self._expect(State.STARTING)
        self.state = State.DEAD
        self._failed_starts += 1

    def answered(self) -> None:
        """A health check was answered."""
        if self.state is State.SUSPECT:
            self.state = State.HEALTHY
        self._misses = 0

    def missed(self) -> None:
        """A health check was not answered in time."""
        if self.state in (State.HEALTHY, State.SUSPECT):
            self._misses += 1
            self.state = State.DEAD if self._misses >= self._patience.misses else State.SUSPECT

    def verified(self) -> None:
        """It finished a piece of work, so its deaths before do not count."""
        self._deaths = 0

    def died(self, by_itself: bool) -> None:
        """It is gone; `by_itself` is false if the pool killed it (a missed deadline, a fresh one was needed)."""
        self.state = State.DEAD
        self._deaths += by_itself

    def restarting(self) -> None:
        """A new start begins."""
        self._expect(State.DEAD)
        self.state = State.STARTING

    @property
    def given_up(self) -> bool:
        """No further start is worth trying."""
        return self._failed_starts >= self._patience.starts

    @property
    def back_off_s(self) -> float:
        """Seconds to wait before the next start: none after a first death, doubled with each further failure."""
        in_a_row = self._failed_starts + max(0, self._deaths - 1)
        if in_a_row == 0:
            return 0.0
        doubled: int = 2 ** min(in_a_row - 1, 30)
        return min(self._patience.back_off_s * doubled, self._patience.max_back_off_s)

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise ValueError(f"an actor that is {self.state} cannot do what one that is {state} can")
