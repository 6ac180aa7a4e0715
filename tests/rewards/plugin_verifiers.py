"""Verifiers as somebody else might write them: a good one, and one broken in each way."""

from collections.abc import Sequence

from reprise.core.types import Verdict
from reprise.rewards.base import Answer, Verifier


class LengthVerifier(Verifier):
    """Scores 1 if the text has the length of the reference."""

    def __init__(self, factor: float, offset: int = 0) -> None:
        if factor < 0:
            raise ValueError(f"factor must not be negative, not {factor}")
        self.factor, self.offset = factor, offset

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        if not answer.text:
            return Verdict.unparseable("no_answer")
        return Verdict.scored(float(len(answer.text) == len(answer.task.answer) * self.factor + self.offset))


class Plain:
    """No verifier at all."""


class Scripted(Verifier):
    """Follows a script: for each call a list of verdicts, or an exception to raise."""

    def __init__(self, script: Sequence[Sequence[Verdict] | Exception]) -> None:
        self.script = list(script)
        self.asked: list[list[str]] = []
        self.life: list[str] = []

    def start(self) -> None:
        self.life.append("start")

    def close(self) -> None:
        self.life.append("close")

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        self.asked.append([answer.text for answer in answers])
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return list(step)


class Forgetful(LengthVerifier):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return super().verify(answers)[:1]


class Reversed(LengthVerifier):
    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return super().verify(answers)[::-1]


class ZeroForNothing(LengthVerifier):
    def _verdict(self, answer: Answer) -> Verdict:
        return Verdict.scored(0) if not answer.text else super()._verdict(answer)


class Fickle(LengthVerifier):
    calls = 0

    def _verdict(self, answer: Answer) -> Verdict:
        self.calls += 1
        return Verdict.scored(self.calls / 1e6) if "\0" in answer.text else super()._verdict(answer)


class BlamesTheMachine(LengthVerifier):
    def _verdict(self, answer: Answer) -> Verdict:
        return Verdict.infra_error() if "\0" in answer.text else super()._verdict(answer)


class Leaky(LengthVerifier):
    def _verdict(self, answer: Answer) -> Verdict:
        answer.text.encode()  # fails on lone surrogates
        return super()._verdict(answer)


SPEED = 1.0
CALLED: list[str] = []


def reward(prompts: list[str], completions: list[str]) -> list[float]:
    """What other systems take for a reward."""
    raise AssertionError("it was not to be called")


def recording(command: str) -> None:
    CALLED.append(command)


class Recording:
    """Does something when it is constructed, and is no verifier."""

    def __init__(self, command: str) -> None:
        CALLED.append(command)


class Old(Verifier):
    """Written when `verify` was called `judge`."""

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict.scored(1)] * len(answers)


class OldPlain:
    """The same, without inheriting from `Verifier`."""

    start = close = check_task = Verifier.close
    judge = Old.judge


class Typo(Verifier):
    def verfiy(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [Verdict.scored(1)] * len(answers)


def contains(prompt: str, response: str, answer: str, bonus: float = 0.0) -> float | None:
    return (1 + bonus) * (answer in response) if response else None


def says(prompt: str, response: str, answer: str) -> str:
    return "fine"


async def waits(prompt: str, response: str, answer: str) -> float:
    return 1.0


def turned(response: str, prompt: str, answer: str) -> float:
    return float(answer in response)
