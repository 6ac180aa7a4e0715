"""From answers to verdicts: which verifier gets what, what a failing one means, and what came of it. Free of Ray."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from reprise.core.errors import UserError
from reprise.core.printable import printable
from reprise.core.types import Status, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.infra_errors import (
    InfraError,
    InfraErrors,
    collected,
    is_final,
    no_verdicts,
    raised,
    traceback_of,
    without_cause,
)
from reprise.rewards.registry import build_verifier, check_task
from reprise.rewards.settings import Unparseable, VerifierSettings

_NOTE_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one batch.

    verdicts  one for each answer, in the order of the answers
    seconds   wall-clock time it took, retries included
    counts    answers by final status (`scored`, `unparseable`, `infra_error`) and by reason (`reason/timeout`), and
              `retried`: how often an answer was verified again; zeros are left out. An answer that scores 0 because it
              is unparseable (`was_unparseable`) counts as unparseable, whichever the policy
    failures  what kept answers from being verified, the first of each kind, those that a retry has helped included
    """

    verdicts: list[Verdict]
    seconds: float
    counts: Counter[str]
    failures: tuple[InfraError, ...] = ()


class Scorer:
    """Hands each answer to the verifier that its task names.

    A verifier that fails fails neither the run nor the answer: an exception that escapes from it, or a list that cannot
    be the verdicts of these answers, is an `infra_error` of every answer of that call. Answers with an infra error are
    verified again up to `retries` times, the last time one by one, so that none fails by its neighbour; but
    not after a wrong number of verdicts: nobody knows which answers those were for. A truncated response without any
    text has no answer and is shown to no verifier.
    What is unparseable stays so or scores 0 (`apply_policy`); in what remains it is marked (`was_unparseable`).
    """

    def __init__(
        self,
        verifiers: Mapping[str, Verifier],
        retries: int,
        clock: Callable[[], float] = time.perf_counter,
        unparseable: Unparseable = "mask",
    ) -> None:
        self._verifiers, self._retries, self._clock, self._unparseable = verifiers, retries, clock, unparseable

    def start(self) -> None:
        """Start every verifier."""
        for verifier in self._verifiers.values():
            verifier.start()

    def close(self) -> None:
        """Close every verifier."""
        for verifier in self._verifiers.values():
            verifier.close()

    def verify(self, answers: Sequence[Answer]) -> Verification:
        """Verify a batch, of one task or many. UserError if a task names an unknown verifier or is malformed."""
        begin = self._clock()
        for task in {id(answer.task): answer.task for answer in answers}.values():
            check_task(self._verifiers, task)
        verdicts: dict[int, Verdict] = {}
        counts: Counter[str] = Counter()
        failures = InfraErrors()
        waiting = list(range(len(answers)))
        for attempt in range(self._retries + 1):
            counts["retried"] += len(waiting) if attempt else 0
            last = attempt == self._retries > 0
            for together in [[i] for i in waiting] if last else [waiting]:
                verdicts |= self._attempt({i: answers[i] for i in together})
            failed = [i for i in waiting if verdicts[i].status is Status.INFRA_ERROR]
            for name in dict.fromkeys(answers[i].task.verifier for i in failed):
                found = collected(name, (verdicts[i] for i in failed if answers[i].task.verifier == name))
                lost = attempt == self._retries
                failures.add(f if lost or f.final else replace(f, answers=0) for f in found)
            waiting = [i for i in failed if not is_final(verdicts[i])]
            if not waiting:
                break
        final = [without_cause(verdicts[i]) for i in range(len(answers))]
        if self._unparseable != "mask":
            final = [apply_policy(v, self._unparseable, a.truncated) for v, a in zip(final, answers, strict=True)]
        counts.update(str(Status.UNPARSEABLE if verdict.was_unparseable else verdict.status) for verdict in final)
        counts.update(f"reason/{verdict.reason}" for verdict in final)
        return Verification(final, self._clock() - begin, +counts, tuple(failures))

    def _attempt(self, answers: Mapping[int, Answer]) -> dict[int, Verdict]:
        verdicts: dict[int, Verdict] = {}
        routes: dict[str, list[int]] = {}
        for i, answer in answers.items():
            if answer.truncated and not answer.text.strip():
                verdicts[i] = Verdict.unparseable(Reason.NO_ANSWER, "truncated")
            else:
                routes.setdefault(answer.task.verifier, []).append(i)
        for name, indices in routes.items():
            found = _ask(name, self._verifiers[name], [answers[i] for i in indices])
            verdicts |= zip(indices, found, strict=True)
        return verdicts


def started(
    name: str, chosen: VerifierSettings, retries: int, unparseable: Unparseable = "mask"
) -> tuple[Scorer, list[str]]:
    """A scorer of `rewards.verifiers.<name>`, started, and the notes of the verifier.

    An exception is that of the verifier, with its traceback as a note: on its way to another process it keeps no other.
    """
    try:
        verifier = build_verifier(name, chosen)
        scorer = Scorer({name: verifier}, retries, unparseable=unparseable)
        scorer.start()
        return scorer, [printable(note, _NOTE_CHARS) for note in getattr(verifier, "notes", list)()]
    except UserError:
        raise
    except Exception as error:
        error.add_note(traceback_of(error))
        raise


def apply_policy(verdict: Verdict, unparseable: Unparseable, truncated: bool) -> Verdict:
    """The verdict under `rewards.unparseable`: an unparseable one may score 0, and then says what it was."""
    forgiven = unparseable == "mask" or (unparseable == "score_zero_if_complete" and truncated)
    if forgiven or verdict.status is not Status.UNPARSEABLE:
        return verdict
    return Verdict(Status.SCORED, 0.0, {**verdict.detail, "unparseable": True})


def _ask(name: str, verifier: Verifier, answers: list[Answer]) -> list[Verdict]:
    """The verifier's verdicts, or an infra error for each answer if it fails."""
    try:
        returned = verifier.verify(answers)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it raises (exits, cancellations) says nothing of the answer
        return [raised(name, error)] * len(answers)
    broken = no_verdicts(name, returned, len(answers))
    return list(returned) if broken is None else [broken] * len(answers)
