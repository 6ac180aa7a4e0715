"""Verifiers as they are tried before a run: broken ones, and ones that cannot verify here."""

import os
import time
from collections.abc import Sequence
from typing import Any

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Verifier


class Fine(Verifier):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict.scored(0.0) for _ in answers]


class OnlyTheMethods:
    """Inherits nothing: what else verifiers may have, it has not."""

    def start(self) -> None: ...

    def close(self) -> None: ...

    def check_task(self, task: Task) -> None: ...

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict.scored(0.0) for _ in answers]


class Raises(Verifier):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        raise KeyError("x")


class Floats(Verifier):
    def verify(self, answers: Sequence[Answer]) -> Any:
        return [1.0] * len(answers)


class Offline(Verifier):
    """Its service cannot be reached from here."""

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise RuntimeError("the grader does not answer") from error


class NeverStarts(Fine):
    def start(self) -> None:
        raise RuntimeError("no GPU here")


class AsksNotToBe(Raises):
    def may_be_tried(self) -> bool:
        return False


class RaisesLater(Fine):
    """Verifies the answer that it is tried on before a run, and no other."""

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        if all(answer.text == "I do not know." for answer in answers):
            return super().verify(answers)
        raise KeyError("later")


class Exits(Fine):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        print("\x1b[2Jprinted before", flush=True)
        os._exit(3)


class Interrupts(Fine):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        raise KeyboardInterrupt


class Sleeps(Fine):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        time.sleep(60)
        return super().verify(answers)
