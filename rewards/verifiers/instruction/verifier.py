"""The instruction-following verifier: does the answer follow the constraints of IFEval and IFBench in its task?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, validate_call

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import after_reasoning, has_visible, without_invisible
from reprise.rewards.verifiers.instruction.constraints import Constraint, constraints_of
from reprise.rewards.verifiers.instruction.own.reading import trimmed
from reprise.rewards.workers.requests import fits, pack, run_fairly, unpack
from reprise.rewards.workers.workers import Failure, Limits, Outcome, WorkerPool

_HANDLER = "reprise.rewards.verifiers.instruction.worker:handle"
_HARMLESS = "Here is a short answer."
# One checker of each data set and each slow start: language profiles, the tagger, sentence splitting.
_WARM_UP = pack(
    {
        "text": "Write this down. It is a sentence.",
        "constraints": [
            ["language:response_language", {"language": "en"}],
            ["length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}],
            ["words:start_verb", {}],
        ],
    }
)


class InstructionVerifier(Verifier):
    """Scores 1 if the answer follows all constraints in `task.answer`, 0 if not.

    mode       `strict`: the answer as it stands; `loose`: a constraint also counts as followed if one of IFEval's eight
               variants of the answer follows it (without first line, last line, asterisks)
    partial    False: all constraints or 0. True: the share of constraints that are followed
    processes  worker processes, started ahead of the first answer
    cpu_s      CPU seconds an answer may use before it scores 0 (timeout)
    wall_s     seconds an answer may take; reached without that CPU time, twice, it is an infra error
    memory_mb  MiB of address space of a worker
    max_chars  a longer answer is not read and scores 0 (output_limit)

    The answer is everything after the reasoning, without outer white space. Reasoning that never ended, or a truncated
    response, has none (`no_answer`, unparseable); an empty answer follows no constraint and scores 0. The verdict's
    detail says of each constraint whether it was followed, strictly and loosely.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        mode: Literal["strict", "loose"] = "strict",
        partial: bool = False,
        processes: Annotated[int, Field(ge=1)] = 2,
        cpu_s: Annotated[float, Field(gt=0)] = 5.0,
        wall_s: Annotated[float, Field(gt=0)] = 30.0,
        memory_mb: Annotated[int, Field(ge=512)] = 2048,
        max_chars: Annotated[int, Field(ge=1, le=200_000)] = 50_000,
    ) -> None:
        self._mode, self._partial, self._max_chars = mode, partial, max_chars
        self.pool = WorkerPool(_HANDLER, _WARM_UP, processes, Limits(cpu_s, wall_s, memory_mb))

    def start(self) -> None:
        self.pool.start()

    def close(self) -> None:
        self.pool.close()

    def check_task(self, task: Task) -> None:
        constraints_of(task)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        verdicts: list[Verdict | None] = []
        waiting: dict[str, list[int]] = {}  # equal answers to equal constraints are verified once
        for i, answer in enumerate(answers):
            constraints = constraints_of(answer.task)
            part = None if answer.truncated else after_reasoning(answer.text)
            text = None if part is None else trimmed(without_invisible(part))
            verdict = self._verdict_without_worker(text, constraints)
            if verdict is None:
                request = pack({"text": text, "constraints": [[each.id, each.kwargs] for each in constraints]})
                if fits(request):
                    waiting.setdefault(request, []).append(i)
                else:
                    verdict = Verdict.scored(0.0, Reason.OUTPUT_LIMIT, "too random to be handed to a worker")
            verdicts.append(verdict)
        outcomes = run_fairly(self.pool, list(waiting), _harmless)
        for outcome, indices in zip(outcomes, waiting.values(), strict=True):
            for i in indices:
                verdicts[i] = self._verdict(outcome, constraints_of(answers[i].task))
        return [verdict for verdict in verdicts if verdict is not None]

    def _verdict_without_worker(self, text: str | None, constraints: list[Constraint]) -> Verdict | None:
        if text is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        if not has_visible(text):
            return self._scored(constraints, [{"strict": False, "loose": False}] * len(constraints), "empty answer")
        if len(text) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(text)} characters")
        return None

    def _verdict(self, outcome: Outcome, constraints: list[Constraint]) -> Verdict:
        if outcome.failure is Failure.INFRA:
            return Verdict.infra_error(Reason.INFRA, outcome.detail)
        if outcome.failure is not None:
            return Verdict.scored(0.0, Reason(outcome.failure), outcome.detail)
        return self._scored(constraints, outcome.value)

    def _scored(self, constraints: list[Constraint], followed: list[dict[str, Any]], explanation: str = "") -> Verdict:
        each = [{"id": constraint.id, **found} for constraint, found in zip(constraints, followed, strict=True)]
        broken = [entry["id"] for entry in each if not entry[self._mode]]
        share = 1 - len(broken) / len(each)
        score = share if self._partial else float(not broken)
        reason = Reason.CORRECT if score == 1 else Reason.PARTIAL if score > 0 else Reason.WRONG
        explanation = explanation or (f"not followed: {', '.join(broken)}" if broken else "")
        return Verdict.scored(score, reason, explanation, constraints=each)


def _harmless(request: str) -> str:
    return pack({**unpack(request), "text": _HARMLESS})
