"""The tool-call verifier: does the answer make the expected calls, and do these satisfy their JSON Schemas?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from pydantic import ConfigDict, Field, validate_call

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason
from reprise.rewards.parsing import after_reasoning, has_visible
from reprise.rewards.verifiers.tools.matching import Strings
from reprise.rewards.verifiers.tools.parsing import Call, Malformed, calls_in, find_blocks
from reprise.rewards.verifiers.tools.reference import Reference, reference_of
from reprise.rewards.workers.requests import WorkerVerifier, fits, pack, unpack
from reprise.rewards.workers.workers import Limits, WorkerPool

_HANDLER = "reprise.rewards.verifiers.tools.worker:handle"
_WORDS = 500  # characters of an explanation, which may quote an answer
_WARM_UP = pack(
    {
        "functions": {"f": {"type": "object", "properties": {"x": {"type": "string", "pattern": "^a+$"}}}},
        "expected": [{"name": "f", "arguments": {"x": "a"}}],
        "given": [{"name": "f", "arguments": {"x": "a"}}],
        "ordered": False,
        "strings": "exact",
    }
)


class ToolsVerifier(WorkerVerifier):
    """Scores 1 if the answer makes exactly the calls in `task.answer`, 0 if not.

    tag        the name of the elements that hold calls: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`
    ordered    False: calls in any order. True: in the order of the task (a task's own `ordered` wins)
    strings    `exact`, or `bfcl`: without ` ,./-_*^`, case, or kind of quotation mark (a task's own `strings` wins)
    processes  worker processes, started ahead of the first answer
    cpu_s      CPU seconds an answer may use before it scores 0 (timeout)
    wall_s     seconds an answer may take; reached without that CPU time, twice, it is an infra error
    memory_mb  MiB of address space of a worker
    max_chars  a longer answer is not read and scores 0 (output_limit)

    A block holds one call or a list of calls; text outside blocks is ignored. Blocks that cannot be read as calls
    (`malformed`) score 0. No block at all is `no_answer`, unparseable, unless the task expects no call: then it is
    right. So is reasoning that never ended, and a truncated response whose last block is not closed.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        tag: Annotated[str, Field(pattern=r"^[^\s<>/]+$")] = "tool_call",
        ordered: bool = False,
        strings: Strings = "exact",
        processes: Annotated[int, Field(ge=1)] = 2,
        cpu_s: Annotated[float, Field(gt=0)] = 2.0,
        wall_s: Annotated[float, Field(gt=0)] = 30.0,
        memory_mb: Annotated[int, Field(ge=512)] = 1024,
        max_chars: Annotated[int, Field(ge=1, le=100_000)] = 20_000,
    ) -> None:
        self._tag, self._ordered, self._strings, self._max_chars = tag, ordered, strings, max_chars
        self.pool = WorkerPool(_HANDLER, _WARM_UP, processes, Limits(cpu_s, wall_s, memory_mb))

    def check_task(self, task: Task) -> None:
        reference_of(task)

    def asked(self, answer: Answer) -> Verdict | str:
        reference = reference_of(answer.task)
        part = after_reasoning(answer.text)
        if part is None or not has_visible(part):
            return Verdict.unparseable(Reason.NO_ANSWER)
        if len(part) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(part)} characters")
        blocks = find_blocks(part, self._tag)
        if answer.truncated and (blocks.unclosed or not blocks.contents):
            return Verdict.unparseable(Reason.NO_ANSWER)
        if reference.calls and not blocks.contents and not blocks.unclosed:
            return Verdict.unparseable(Reason.NO_ANSWER)
        try:
            calls = calls_in(blocks, self._tag)
        except Malformed as error:
            return Verdict.scored(0.0, Reason.MALFORMED, str(error))
        return self._compared(calls, reference)

    def _compared(self, calls: list[Call], reference: Reference) -> Verdict | str:
        if len(calls) != len(reference.calls):
            return _wrong(f"{len(calls)} calls where {len(reference.calls)} are expected")
        for n, call in enumerate(calls):
            if call.name not in reference.functions:
                return _wrong(f"call {n}: there is no function {call.name[:100]!r}")
        plain = [Call(call.name, {name: call.acceptable(name)[0] for name in call.names}) for call in reference.calls]
        if _canonical(calls) == _canonical(plain):
            return Verdict.scored(1.0, Reason.CORRECT)
        names = {call.name for call in calls} | {call.name for call in reference.calls}
        request = pack(
            {
                "functions": {name: reference.functions[name] for name in sorted(names)},
                "expected": [asdict(call) for call in reference.calls],
                "given": [asdict(call) for call in calls],
                "ordered": self._ordered if reference.ordered is None else reference.ordered,
                "strings": self._strings if reference.strings is None else reference.strings,
            }
        )
        if not fits(request):
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, "the calls are too large to be handed to a worker")
        return request

    def harmless(self, request: str) -> str:
        """The expected calls themselves as the answer."""
        asked = unpack(request)
        given = []
        for call in asked["expected"]:
            arguments = {**{name: values[0] for name, values in call["accept"].items()}, **call["arguments"]}
            given.append({"name": call["name"], "arguments": arguments})
        return pack({**asked, "given": given})

    def verdict(self, request: str, response: str) -> Verdict:
        return _wrong(response) if response else Verdict.scored(1.0, Reason.CORRECT)


def _canonical(calls: list[Call]) -> str:
    return json.dumps([[call.name, call.arguments] for call in calls], sort_keys=True)


def _wrong(explanation: str) -> Verdict:
    return Verdict.scored(0.0, Reason.WRONG, explanation[:_WORDS])
