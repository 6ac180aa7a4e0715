"""Verifiers that try the patience of a pool."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from reprise.core.errors import UserError
from reprise.core.types import Verdict
from reprise.rewards.base import Answer, Verifier


class Trying(Verifier):
    """Scores 1 for the text `right`; other texts do to their verifier what they say.

    barrier  so many calls of `verify` have to be at work together before any goes on
    """

    def __init__(self, barrier: int = 1) -> None:
        self._barrier = threading.Barrier(barrier)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        self._barrier.wait(30)
        return [self._verdict(answer.text) for answer in answers]

    def _verdict(self, text: str) -> Verdict:
        if text == "hang":
            time.sleep(1e6)
        if text == "hold":
            pow(7, 10**10)  # never lets go of the interpreter
        if text == "die":
            os._exit(9)
        if text == "exit":
            raise SystemExit
        if text == "slow":
            time.sleep(0.3)
        return Verdict.scored(float(text == "right"), "correct" if text == "right" else "wrong")


class NeverStarts(Verifier):
    """Its service is down."""

    def start(self) -> None:
        raise RuntimeError("the service is down")

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        raise AssertionError


class Misconfigured(NeverStarts):
    """The user has to do something."""

    def start(self) -> None:
        raise UserError("rewards.verifiers.mine.args.url: there is nobody")
