"""The instruction-following verifier of the demo: any string that keeps the rules is right."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator, validate_call

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import extract_tag

Letter = Annotated[str, Field(pattern="^[a-z]$")]
_LOWER_CASE = re.compile("[a-z]+")


class StringRules(BaseModel):
    """What `task.answer` asks for: `length` lower-case letters, among them all `required` and none `forbidden`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    length: int = Field(ge=1)
    required: list[Letter] = []
    forbidden: list[Letter] = []

    @model_validator(mode="after")
    def _can_be_kept(self) -> StringRules:
        required, forbidden = set(self.required), set(self.forbidden)
        if required & forbidden:
            raise ValueError(f"letters both required and forbidden: {sorted(required & forbidden)}")
        if len(required) > self.length:
            raise ValueError(f"{len(required)} required letters do not fit into length {self.length}")
        if forbidden == set(string.ascii_lowercase):
            raise ValueError("every letter is forbidden")
        return self


class RulesVerifier(Verifier):
    """Checks the content of the last `<ans>…</ans>` by the rules in `task.answer`; any string that keeps them is right.

    partial  False: all rules or 0. True: the share of rules kept (the length, each required and each forbidden letter);
             0 for anything but lower-case letters, so that an empty answer keeps no rule.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(self, partial: bool = False) -> None:
        self.partial = partial

    def check_task(self, task: Task) -> None:
        rules_of(task)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Answer) -> Verdict:
        found = extract_tag(answer.text, "ans")
        if found is None:
            return Verdict.unparseable(Reason.NO_ANSWER)
        if not _LOWER_CASE.fullmatch(found):
            return Verdict.scored(0.0, Reason.WRONG, "not a string of lower-case letters")
        rules = rules_of(answer.task)
        kept = {f"length {rules.length}": len(found) == rules.length}
        kept |= {f"with {letter}": letter in found for letter in rules.required}
        kept |= {f"without {letter}": letter not in found for letter in rules.forbidden}
        if all(kept.values()):
            return Verdict.scored(1.0, Reason.CORRECT)
        broken = "not " + ", not ".join(rule for rule, ok in kept.items() if not ok)
        share = sum(kept.values()) / len(kept)
        if self.partial and share > 0:
            return Verdict.scored(share, Reason.PARTIAL, broken)
        return Verdict.scored(0.0, Reason.WRONG, broken)


def rules_of(task: Task) -> StringRules:
    """The rules in `task.answer`. Raises UserError if they are malformed or no string can keep them."""
    try:
        return StringRules.model_validate(task.answer)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["answer", *(str(part) for part in first["loc"])])
        raise UserError(
            f"task {task.id!r}: {place}: {first['msg']}; right would be "
            '{"length": 5, "required": ["a"], "forbidden": ["b"]}'
        ) from error
