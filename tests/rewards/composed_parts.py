"""A verifier whose verdict stands in the text, for compositions of several."""

import re
from collections.abc import Sequence

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Verifier

LIFE: list[str] = []  # what happened to the verifiers, in order: "right: start", "right: verify 3"


class Silent:
    """Inherits nothing, and has no notes."""

    def start(self) -> None: ...

    def close(self) -> None: ...

    def check_task(self, task: Task) -> None: ...

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict.scored(1.0) for _ in answers]


class Says(Verifier):
    """Looks for `<word>=<score>` in the text; `?` is unparseable, `!` an infra error, `x` an exception."""

    def __init__(self, word: str, starts: bool = True) -> None:
        self.word, self.starts = word, starts

    def start(self) -> None:
        LIFE.append(f"{self.word}: start")
        if not self.starts:
            raise RuntimeError(f"{self.word} does not start")

    def close(self) -> None:
        LIFE.append(f"{self.word}: close")

    def notes(self) -> list[str]:
        return [f"{self.word} is only a test"]

    def check_task(self, task: Task) -> None:
        if task.answer is None:
            raise UserError(f"task {task.id!r}: answer: missing")

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        LIFE.append(f"{self.word}: verify {len(answers)}")
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        found = re.search(rf"{self.word}=(\S+)", answer.text)
        said = found[1] if found else "?"
        if said == "?":
            return Verdict.unparseable("no_answer")
        if said == "!":
            return Verdict.infra_error("infra", "unreachable")
        if said == "x":
            raise OSError("disk full")
        return Verdict.scored(float(said), "correct" if float(said) >= 1 else "wrong", seen=answer.task.answer)
