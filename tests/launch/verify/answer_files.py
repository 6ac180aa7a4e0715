"""Files of answers for tests, and a verifier that leaves a trace of every answer it verifies."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reprise.core.types import Verdict
from reprise.rewards.base import Answer, Verifier


def answer(task_id: str = "1", response: str = "<ans>4</ans>", **more: Any) -> dict[str, Any]:
    """An answer to "2+2?" for the exact verifier, right unless said otherwise."""
    task = {"id": task_id, "prompt": "2+2?", "domain": "sums", "verifier": "exact", "answer": "4"}
    top = {key: more.pop(key) for key in ("truncated",) if key in more}
    return {"task": task | more, "response": response, **top}


def write(path: Path, answers: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in answers))
    return path


def verdicts(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Traced(Verifier):
    """Scores 1, and appends the id of every answer to the file `trace`; the text says how it behaves."""

    def __init__(self, trace: str, seconds: float = 0.0) -> None:
        self._trace, self._seconds = trace, seconds

    def notes(self) -> list[str]:
        return ["leaves a trace"]

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        with open(self._trace, "a") as trace:
            trace.write(f"{answer.task.id}\n")
        time.sleep(self._seconds)
        if answer.text == "hang":
            time.sleep(1000)
        if answer.text == "die":
            os._exit(3)
        if answer.text == "fail":
            raise OSError("disk full")
        print("what a verifier prints")
        return Verdict.scored(1.0, "correct", odd=float("nan"))


class Loud(Verifier):
    """Prints more than a terminal should get, and verifies nothing."""

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        print("\x1b[2J" * 10_000, flush=True)
        os.write(2, b"\x1b[2J" * 10_000)
        return [Verdict.infra_error("infra", "\x1b[2J") for _ in answers]
