"""The exact-match verifier: the answer is right if it is, character for character, one of the references."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict, validate_call

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import Extraction, find_answer, without_invisible


class ExactVerifier(Verifier):
    """Scores 1 for a match and 0 for any other answer that was found.

    extract   where the answer stands: `tag`, `boxed` or `text` (see `find_answer`)
    tag       the element's name for `extract: tag`
    strip     ignore white space around answer and reference
    casefold  ignore case

    Invisible characters are nothing (`without_invisible`). `task.answer` is a string or a list of acceptable strings.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        extract: Extraction = "tag",
        tag: str = "ans",
        strip: bool = True,
        casefold: bool = False,
    ) -> None:
        self.extract, self.tag, self.strip, self.casefold = extract, tag, strip, casefold

    def check_task(self, task: Task) -> None:
        references(task)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        found = find_answer(answer.text, answer.truncated, self.extract, self.tag)
        if found is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        right = self._normal(found) in {self._normal(reference) for reference in references(answer.task)}
        return Verdict.scored(1.0, Reason.CORRECT) if right else Verdict.scored(0.0, Reason.WRONG)

    def _normal(self, text: str) -> str:
        text = without_invisible(text)
        text = text.strip() if self.strip else text
        return text.casefold() if self.casefold else text


def references(task: Task) -> list[str]:
    """The acceptable answers of a task whose `answer` is a string or a list of strings. Raises UserError otherwise."""
    accepted = task.answer if isinstance(task.answer, list) else [task.answer]
    if not accepted or not all(isinstance(reference, str) for reference in accepted):
        raise UserError(
            f"task {task.id!r}: answer must be a string or a list of acceptable strings, not {task.answer!r}"
        )
    return accepted
