"""Verdicts a second of one core: code, maths, instruction and tools, each with one worker and nothing verified twice.

A core's second is a CPU second of the verifier and all its processes together, so that a busy machine changes little.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

import psutil
from maths_items import answers as maths_answers
from rows import Aim, Row

from reprise.core.types import Status, Task
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.verifiers.code.verifier import CodeVerifier
from reprise.rewards.verifiers.instruction.verifier import InstructionVerifier
from reprise.rewards.verifiers.maths import MathsVerifier
from reprise.rewards.verifiers.tools.verifier import ToolsVerifier

_TESTS = {"function": "f", "tests": [{"args": [n], "expected": n * (n - 1) // 2} for n in (1, 5, 10)]}
_CONSTRAINTS = [
    {"id": "length_constraints:number_words", "kwargs": {"relation": "at least", "num_words": 40}},
    {"id": "keywords:existence", "kwargs": {"keywords": ["river", "bridge"]}},
    {"id": "language:response_language", "kwargs": {"language": "en"}},
    {"id": "punctuation:no_comma", "kwargs": {}},
]
_TOOL = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}


def measure(quick: bool) -> list[Row]:
    """One row a verifier."""
    count = 20 if quick else 200
    return [
        _row("code", CodeVerifier(sandbox={"slots": 1}), _programs(count), "programs of three tests"),
        _row("maths", MathsVerifier(processes=1), maths_answers(2 * count), "answers in four forms"),
        _row("instruction", InstructionVerifier(processes=1), _essays(5 * count), "answers of 60 words, 4 constraints"),
        _row("tools", ToolsVerifier(processes=1), _calls(10 * count), "answers of one call"),
    ]


def _programs(count: int) -> list[Answer]:
    task = Task("t", "?", "code", "code", _TESTS)
    return [Answer(task, f"```python\ndef f(x):\n    return sum(range(x))\n# {i}\n```") for i in range(count)]


def _essays(count: int) -> list[Answer]:
    task = Task("t", "?", "instructions", "instruction", {"constraints": _CONSTRAINTS})
    text = " ".join(["The old bridge crosses the quiet river where children fish in summer."] * 5)
    return [Answer(task, f"{text} This was said {i} times.") for i in range(count)]


def _calls(count: int) -> list[Answer]:
    made = []
    for i in range(count):
        call = {"name": "weather", "arguments": {"city": f"City {i}", "days": i % 7}}
        task = Task(str(i), "?", "tools", "tools", {"schemas": [_TOOL], "calls": [call]})
        made.append(Answer(task, f"<tool_call>{json.dumps(call)}</tool_call>"))
    return made


def _row(name: str, verifier: Verifier, asked: list[Answer], what: str) -> Row:
    verifier.start()
    try:
        verifier.verify(asked[:4])
        started, used = time.perf_counter(), _cpu_seconds()
        verdicts = verifier.verify(asked[4:])
        used, wall = _cpu_seconds() - used, time.perf_counter() - started
    finally:
        verifier.close()
    assert all(verdict.status is Status.SCORED for verdict in verdicts), verdicts
    return Row(
        f"{name}: verdicts a second of one core",
        f"{len(verdicts)} {what}: {used:.1f} s of CPU",
        "–",
        len(verdicts) / used,
        Aim(unit="/s"),
        {"verdicts": len(verdicts), "cpu_seconds": used, "wall_seconds": wall},
    )


def _cpu_seconds() -> float:
    """Of this process and all below it, those that ended and were waited for included."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, children's user, children's system
    return total
