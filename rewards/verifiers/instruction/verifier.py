"""The instruction-following verifier: does the answer follow the constraints of IFEval and IFBench in its task?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, validate_call

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason
from reprise.rewards.parsing import after_reasoning, has_visible, without_invisible
from reprise.rewards.verifiers.instruction.constraints import Followed, constraints_of
from reprise.rewards.verifiers.instruction.own.reading import trimmed
from reprise.rewards.workers.requests import WorkerVerifier, fits, pack, unpack
from reprise.rewards.workers.workers import Limits, WorkerPool

_HANDLER = "reprise.rewards.verifiers.instruction.worker:handle"
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


class InstructionVerifier(WorkerVerifier):
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

    def check_task(self, task: Task) -> None:
        constraints_of(task)

    def asked(self, answer: Answer) -> Verdict | str:
        constraints = constraints_of(answer.task)
        part = None if answer.truncated else after_reasoning(answer.text)
        if part is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        text = trimmed(without_invisible(part))
        if not has_visible(text):
            followed = [Followed(strict=False, loose=False)] * len(constraints)
            return self._scored([each.id for each in constraints], followed, "empty answer")
        if len(text) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(text)} characters")
        request = pack({"text": text, "constraints": [[each.id, each.kwargs] for each in constraints]})
        if not fits(request):
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, "too random to be handed to a worker")
        return request

    def harmless(self, request: str) -> str:
        return pack({**unpack(request), "text": "Here is a short answer."})

    def verdict(self, request: str, response: list[Followed]) -> Verdict:
        return self._scored([name for name, _ in unpack(request)["constraints"]], response)

    def _scored(self, names: list[str], followed: list[Followed], explanation: str = "") -> Verdict:
        pairs = list(zip(names, followed, strict=True))
        broken = [name for name, found in pairs if not found[self._mode]]
        share = 1 - len(broken) / len(pairs)
        score = share if self._partial else float(not broken)
        reason = Reason.CORRECT if score == 1 else Reason.PARTIAL if score > 0 else Reason.WRONG
        explanation = explanation or (f"not followed: {', '.join(broken)}" if broken else "")
        return Verdict.scored(score, reason, explanation, constraints=[{"id": name, **found} for name, found in pairs])
