"""One batch on its way to verdicts: what to do when it is lost, and whose fault that was.

An actor is lost in one of three ways:
- it *died* (killed from outside, out of memory, its node gone), which says little about the answers: they are judged
  again elsewhere, twice together, at last one by one, and one that is lost once more is an infra error: never a zero;
- the batch was *late*, and the pool killed the actor: the answers are judged again one by one, each alone on an actor
  that has judged nothing else. One that is late alone too is that answer's fault (scored 0, `timeout`), but only if the
  verifier has scored some other answer meanwhile: one that hangs on everything is broken, and its verdicts would be
  zeros that nobody deserved (infra error);
- it was *killed* for the sake of another batch, which says nothing at all.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from reprise.core.types import Status, Verdict
from reprise.rewards.base import Reason

DEATHS_TOGETHER = 2  # deaths under the whole batch before its answers are judged one by one
DEATHS = 3  # deaths under one answer, the last one alone, before it is given up
LATE = 2  # missed deadlines under one answer, the last one alone, before it is blamed


class Loss(StrEnum):
    """How an actor was lost under a batch."""

    DIED = "died"
    LATE = "late"
    KILLED = "killed"


class Case:
    """The answers of one batch, by number. First `lost` while they are judged together; then, once `alone`, `next` says
    which is judged, and `judged` or `lost` what came of it; in the end `verdicts` has one for each."""

    def __init__(self, answers: int, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._losses: Counter[Loss] = Counter()  # of the whole batch
        self._waiting = list(range(answers))
        self._own: Counter[Loss] = Counter()  # of the answer that is judged alone now, the batch's included
        self._judged: dict[int, Verdict] = {}
        self._late: list[int] = []
        self.given_up: list[int] = []  # those whose verdict is not the verifier's but this case's
        self.alone = False

    def lost(self, how: Loss) -> None:
        """The actor was lost under the batch or, once `alone`, under the answer that is `next`."""
        if not self.alone:
            self._losses[how] += 1
            self._own = +self._losses
            self.alone = how is Loss.LATE or self._losses[Loss.DIED] >= DEATHS_TOGETHER
            return
        self._own[how] += 1
        if how is Loss.LATE and self._own[how] >= LATE:
            self._late.append(self._waiting[0])
            self.given_up.append(self._waiting[0])
            self._go_on()
        elif how is Loss.DIED and self._own[how] >= DEATHS:
            self.given_up.append(self._waiting[0])
            why = f"the verifier's actor died {DEATHS} times while judging this answer, the last time alone"
            self.judged(Verdict.infra_error(Reason.INFRA, why))

    @property
    def next(self) -> int | None:
        """The answer to be judged alone now; None if there is none left."""
        return self._waiting[0] if self._waiting else None

    def judged(self, verdict: Verdict) -> None:
        """The verdict on the answer that is `next`."""
        self._judged[self._waiting[0]] = verdict
        self._go_on()

    def _go_on(self) -> None:
        self._waiting.pop(0)
        self._own = +self._losses

    def verdicts(self, witness: bool) -> dict[int, Verdict]:
        """One for each answer, by number. `witness`: the verifier scored some other answer since the first loss."""
        if self._waiting:
            raise ValueError(f"{len(self._waiting)} answers have not been judged yet")
        return self._judged | dict.fromkeys(self._late, self._blame(witness))

    def _blame(self, witness: bool) -> Verdict:
        within = f"within {self._deadline_s:g} s"
        if witness or any(verdict.status is Status.SCORED for verdict in self._judged.values()):
            return Verdict.scored(
                0.0, Reason.TIMEOUT, f"not judged {within}, first in its batch and then alone, when other answers were"
            )
        return Verdict.infra_error(Reason.INFRA, f"the verifier did not score a single answer {within}")
