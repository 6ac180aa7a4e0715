"""The maths verifier: does the last boxed expression equal a reference? What is more than numbers, workers compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import ConfigDict, Field, validate_call

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason
from reprise.rewards.parsing import THINK, last_boxes, without_invisible
from reprise.rewards.verifiers.exact import references
from reprise.rewards.verifiers.maths.comparing import Comparison, chosen
from reprise.rewards.verifiers.maths.latex import Unreadable, text_key
from reprise.rewards.verifiers.maths.loading import faults, needs_worker, plain_fault
from reprise.rewards.verifiers.maths.numbers import PlainArithmetic
from reprise.rewards.verifiers.maths.reading import read
from reprise.rewards.verifiers.maths.rules import Found, MathsRules, Request, rules_from, rules_of
from reprise.rewards.workers.requests import WorkerVerifier, fits, pack, unpack
from reprise.rewards.workers.workers import MAX_REQUEST_BYTES, Limits, WorkerPool

_HANDLER = "reprise.rewards.verifiers.maths.worker:handle"
_WARM_UP = pack(Request(references=[r"\frac{\sqrt{2}}{2}", "x^2+2x+1"], answer="(x+1)^2", rules={}))
MAX_REFERENCE_CHARS = 5000
_MAX_REFERENCE_BYTES = MAX_REQUEST_BYTES // 2  # of all references of a task, as JSON


class MathsVerifier(WorkerVerifier):
    r"""Scores 1 if the content of the last `\boxed{…}` equals a reference mathematically, 0 if not.

    processes  worker processes, started ahead of the first answer
    cpu_s      CPU seconds an answer may use before it scores 0 (timeout)
    wall_s     seconds an answer may take; reached without that CPU time, twice, it is an infra error
    memory_mb  MiB of address space of a worker
    max_chars  a longer boxed content is not read and scores 0 (output_limit)
    rules      what counts as equal (`maths.rules.MathsRules`), unless the task's `metadata.math` says otherwise
    reasoning  what opens and closes the reasoning, in which no box counts

    `task.answer` is a string, in LaTeX, or a list of acceptable ones. No box is `no_answer`, one that cannot be read is
    `unreadable`, both unparseable; an empty one is wrong. A box that hangs, crashes or overfills two workers, the
    second time alone, scores 0, unless a harmless answer fares no better: then it is an infra error.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        processes: Annotated[int, Field(ge=1)] = 2,
        cpu_s: Annotated[float, Field(gt=0)] = 5.0,
        wall_s: Annotated[float, Field(gt=0)] = 30.0,
        memory_mb: Annotated[int, Field(ge=512)] = 2048,
        max_chars: Annotated[int, Field(ge=1, le=5000)] = 1000,
        rules: dict[str, object] | None = None,
        reasoning: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None,
    ) -> None:
        self._max_chars = max_chars
        self._rules = rules_from(rules or {})
        self._reasoning = (reasoning[0], reasoning[1]) if reasoning else THINK
        self._limits = Limits(cpu_s, wall_s, memory_mb)
        self.pool = WorkerPool(_HANDLER, _WARM_UP, processes, self._limits)

    def check_task(self, task: Task) -> None:
        rules_of(task, self._rules)
        accepted = [_bare(reference) for reference in references(task)]
        for reference in accepted:
            fault = _too_long(reference) or plain_fault(reference)
            if fault:
                raise UserError(_refusal(task, reference, fault))
        if len(json.dumps(accepted)) > _MAX_REFERENCE_BYTES:
            raise UserError(f"task {task.id!r}: answer: its references together are too long")

    def check_tasks(self, tasks: Sequence[Task], report: Callable[[int], None]) -> dict[int, str]:
        """What is wrong with those tasks (all passed `check_task`) against whose references no worker can verify."""
        open_: dict[int, list[str]] = {}
        for place, task in enumerate(tasks):
            if waiting := [bare for reference in references(task) if needs_worker(bare := _bare(reference))]:
                open_[place] = waiting
        found = faults([bare for waiting in open_.values() for bare in waiting], self._limits, report)
        return {
            place: _refusal(tasks[place], bare, found[bare])
            for place, waiting in open_.items()
            for bare in waiting
            if bare in found
        }

    def asked(self, answer: Answer) -> Verdict | str:
        boxed = last_boxes(without_invisible(answer.text), self._reasoning)
        if boxed is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        accepted = [_bare(reference) for reference in references(answer.task)]
        rules = rules_of(answer.task, self._rules)
        verdict = self._verdict_without_worker(boxed, accepted, rules)
        if verdict is not None:
            return verdict
        request = pack(Request(references=accepted, answer=_bare(boxed), rules=rules.model_dump()))
        return request if fits(request) else Verdict.scored(0.0, Reason.MEMORY, "too long for a worker")

    def harmless(self, request: str) -> str:
        return pack({**unpack(request), "answer": "1"})

    def verdict(self, request: str, response: Found) -> Verdict:
        if not response["reference_read"]:
            return Verdict.infra_error(Reason.INFRA, "the task's reference cannot be read")
        if not response["answer_read"]:
            return Verdict.unparseable(Reason.UNREADABLE)
        return Verdict.scored(1.0, Reason.CORRECT) if response["right"] else Verdict.scored(0.0, Reason.WRONG)

    def _verdict_without_worker(self, boxed: str, accepted: list[str], rules: MathsRules) -> Verdict | None:
        if len(boxed) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(boxed)} characters in the box")
        answer = _bare(boxed)
        if not answer:
            return Verdict.scored(0.0, Reason.WRONG, "empty box")
        letter = chosen(answer)
        if (
            answer in accepted
            or _key(answer) in map(_key, accepted)
            or (letter and letter in (chosen(reference) for reference in accepted))
        ):
            return Verdict.scored(1.0, Reason.CORRECT)
        try:
            theirs = read(answer)
        except Unreadable as error:
            return Verdict.unparseable(Reason.UNREADABLE, str(error))
        except Exception as error:  # noqa: BLE001 - the other answers of the batch must not suffer for it
            return Verdict.scored(0.0, Reason.CRASH, f"reading it raised {type(error).__name__}")
        comparison = Comparison(rules, PlainArithmetic())
        needs_library, reference_read = False, False
        for reference in accepted:
            try:
                readings = read(reference, reference=True)
            except Unreadable:
                continue
            reference_read = True
            for ours in readings:
                for form in theirs:
                    try:
                        if comparison.same(ours, form):
                            return Verdict.scored(1.0, Reason.CORRECT)
                    except Exception:  # noqa: BLE001 - not only NeedsLibrary: a worker finds out whose fault it is
                        needs_library = True
        if not reference_read:
            return Verdict.infra_error(Reason.INFRA, "the task's reference cannot be read")
        return None if needs_library else Verdict.scored(0.0, Reason.WRONG)


def _bare(latex: str) -> str:
    """The expression without the box and spaces around it."""
    latex = without_invisible(latex)
    return (last_boxes(latex, None) or latex).strip()


@lru_cache(maxsize=4096)
def _key(latex: str) -> str:
    """What the same text in other spacing and fonts has in common with this one; where it cannot be read, itself."""
    try:
        return text_key(latex)
    except Unreadable:
        return latex


def _too_long(reference: str) -> str:
    return (
        f"{len(reference)} characters, more than {MAX_REFERENCE_CHARS}" if len(reference) > MAX_REFERENCE_CHARS else ""
    )


def _refusal(task: Task, reference: str, fault: str) -> str:
    return (
        f"task {task.id!r}: answer: {_short(reference)} cannot be read: {fault}; right would be LaTeX such as "
        r"'\\frac{1}{2}', '(1, 2]' or '\\text{no solution}'"
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
