"""A plain function as a verifier: `use: ./my_rewards.py:score`, where `score(prompt, response, answer) -> float`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

from reprise.core.errors import UserError
from reprise.core.types import Verdict
from reprise.rewards.base import Answer, Reason, Verifier

_TAKES = ("prompt", "response", "answer")
_SHOWN = f"({', '.join(_TAKES)})"


class FunctionVerifier(Verifier):
    """Scores each response by itself.

    The function gets the task's prompt (text, or chat messages), the response's text with its reasoning, and the task's
    `answer`; the recipe's `args` are further keywords. It returns the score as a number, or None for a response in
    which it finds no answer: that is `unparseable`. What it raises is an infra error, never a zero. It runs in the
    verifier's actor, outside the sandbox: it must not run what the policy wrote.
    """

    def __init__(self, function: Callable[..., object], args: Mapping[str, object], where: str) -> None:
        """UserError, which begins with `where`, if the function cannot be called so."""
        name = function.__name__
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise UserError(
                f"{where}.use: {name} must be a plain function {_SHOWN} -> float, not one that waits or yields"
            )
        called = f"{where}.use: {name} is called as {name}{_SHOWN}"
        signature = inspect.signature(function)
        try:
            signature.bind("", "", None, **args)
        except TypeError as error:
            raise UserError(f"{called} with the keywords of `args`, which fails: {error}") from error
        parameters = tuple(signature.parameters)[: len(_TAKES)]
        if parameters != _TAKES and set(parameters) == set(_TAKES):
            raise UserError(f"{called}, and takes them as ({', '.join(parameters)}); put its parameters in that order")
        self._function, self._args = function, dict(args)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        score = self._function(answer.task.prompt, answer.text, answer.task.answer, **self._args)
        if score is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        number = score.item() if hasattr(score, "item") else score  # of numpy or torch
        if not isinstance(number, int | float):
            kind = type(score).__name__
            raise TypeError(f"{self._function.__name__} returned a {kind}; a score is a number, or None")
        return Verdict.scored(float(number))
