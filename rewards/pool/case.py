"""One batch on its way to verdicts: what to do when it is lost, and whose fault that was.

An actor is lost in one of three ways:
- it *died* (killed from outside, out of memory, its node gone), which says little about the answers: they are verified
  again elsewhere, twice together, at last one by one. One that is lost once more is an infra error, never a zero.
- The batch was *late*, and the pool killed the actor: the answers are verified again one by one, each alone on an actor
  that has verified nothing else. If one is late alone too, that is the answer's fault (scored 0, `timeout`), but only
  if the verifier has scored some other answer meanwhile: a verifier that hangs on everything is broken, and zeros would
  be undeserved (infra error).
- It was *killed* because of another batch, which says nothing about these answers.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from reprise.core.types import Status, Verdict
from reprise.rewards.base import Reason

DEATHS_TOGETHER = 2  # deaths under the whole batch before its answers are verified one by one
DEATHS = 3  # deaths under one answer, the last one alone, before it is given up
# Why an answer is given up that nothing was late on.
DIED = f"the verifier's actor died {DEATHS} times while verifying this answer, the last time alone"
LATE = 2  # missed deadlines under one answer, the last one alone, before it is blamed


class Loss(StrEnum):
    """How an actor was lost under a batch."""

    DIED = "died"
    LATE = "late"
    KILLED = "killed"


class Case:
    """The answers of one batch, by number. `lost` may be called while they are verified together. Once `alone`, `next`
    is the one to verify; `verified` or `lost` takes its result. In the end `verdicts` has one for each."""

    def __init__(self, answers: int, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._losses: Counter[Loss] = Counter()  # of the whole batch
        self._waiting = list(range(answers))
        self._own: Counter[Loss] = Counter()  # of the answer that is verified alone now, the batch's included
        self._verified: dict[int, Verdict] = {}
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
            self.verified(Verdict.infra_error(Reason.INFRA, DIED))

    @property
    def next(self) -> int | None:
        """The answer to be verified alone now; None if there is none left."""
        return self._waiting[0] if self._waiting else None

    def verified(self, verdict: Verdict) -> None:
        """The verdict on the answer that is `next`."""
        self._verified[self._waiting[0]] = verdict
        self._go_on()

    def _go_on(self) -> None:
        self._waiting.pop(0)
        self._own = +self._losses

    def verdicts(self, witness: bool) -> dict[int, Verdict]:
        """One for each answer, by number. `witness`: the verifier scored some other answer since the first loss."""
        if self._waiting:
            raise ValueError(f"{len(self._waiting)} answers have not been verified yet")
        return self._verified | dict.fromkeys(self._late, self._blame(witness))

    def _blame(self, witness: bool) -> Verdict:
        within = f"within {self._deadline_s:g} s"
        if witness or any(verdict.status is Status.SCORED for verdict in self._verified.values()):
            return Verdict.scored(
                0.0, Reason.TIMEOUT, f"not verified {within}, first in its batch, then alone, when other answers were"
            )
        return Verdict.infra_error(Reason.INFRA, f"the verifier did not score a single answer {within}")
