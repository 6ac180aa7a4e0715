"""The format verifier: is the response built as asked for, whatever its answer says? Made to be a gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, validate_call

from reprise.core.types import Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import THINK, Extraction, find_answer, has_visible, without_invisible

Word = Annotated[str, Field(min_length=1)]


class FormatVerifier(Verifier):
    r"""Scores 1 for reasoning as asked for and, after it, an answer that can be found and is not blank; else 0.

    answer     how the answer is marked: `tag`, `boxed`, `code` or `text` (see `find_answer`)
    tag        the element's name for `answer: tag`
    reasoning  `required`: the response begins with one reasoning part, opened once and closed once; `optional`: with
               one or none; `none`: neither marker may occur
    markers    what opens and what closes the reasoning
    opened     the chat template has opened the reasoning in the prompt: the response may begin within it. (Engines put
               the opening back; responses from elsewhere may lack it)

    The task needs no reference. A response that the token limit cut off before it was complete is unparseable
    (no_answer); one that ended by itself always has a score (malformed: the explanation names the first rule broken).
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        answer: Extraction = "tag",
        tag: Word = "ans",
        reasoning: Literal["required", "optional", "none"] = "required",
        markers: Annotated[list[Word], Field(min_length=2, max_length=2)] = list(THINK),  # noqa: B006 - never changed
        opened: bool = False,
    ) -> None:
        if markers[0] == markers[1]:
            raise ValueError(f"markers must be two different texts, not twice {markers[0]!r}")
        self._answer, self._tag, self._reasoning, self._opened = answer, tag, reasoning, opened
        self._opening, self._closing = markers

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        broken = self._broken_reasoning(answer.text) or self._broken_answer(answer)
        if not broken:
            return Verdict.scored(1.0, Reason.CORRECT)
        if answer.truncated:
            return Verdict.unparseable(Reason.NO_ANSWER, f"truncated: {broken}")
        return Verdict.scored(0.0, Reason.MALFORMED, broken)

    def _broken_reasoning(self, text: str) -> str:
        opened, closed = text.count(self._opening), text.count(self._closing)
        if self._reasoning == "none":
            return f"{self._opening} or {self._closing} in it" if opened or closed else ""
        if self._reasoning == "optional" and not opened and not closed:
            return ""
        if opened > 1 or (opened == 0 and not self._opened):
            return f"{self._opening} {opened} times, not {'at most once' if self._opened else 'once'}"
        if closed != 1:
            return f"{self._closing} {closed} times, not once"
        if opened and not without_invisible(text).lstrip().startswith(self._opening):
            return f"text before {self._opening}"
        return ""

    def _broken_answer(self, answer: Answer) -> str:
        markers = None if self._reasoning == "none" else (self._opening, self._closing)
        found = find_answer(answer.text, answer.truncated, self._answer, self._tag, markers)
        if found is None:
            return f"no {self._answer} answer" + (" after the reasoning" if markers else "")
        return "" if has_visible(found) else "an empty answer"
