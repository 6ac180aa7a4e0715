"""Several verifiers as one: weighted sums, gates, and parts that verify only some domains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator, validate_call

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.infra_errors import InfraError, carried
from reprise.rewards.registry import construct
from reprise.rewards.scoring import Scorer

# Sums are rounded to so many digits: weights that add up to 1 on paper shall do so here.
_DIGITS = 12

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Part(BaseModel):
    """One verifier of a composition."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    use: str = Field(min_length=1, description="as in rewards.verifiers")
    args: dict[str, object] = Field(default_factory=dict, description="as in rewards.verifiers")
    weight: float | None = Field(
        None, allow_inf_nan=False, description="of its score in the sum; by default 1, a gate's 0"
    )
    gate: float | None = Field(None, allow_inf_nan=False, description="below this score of it the whole scores 0")
    domains: list[str] = Field(default_factory=list, description="verifies only tasks of these domains; empty: all")
    answer_key: str | None = Field(None, description="its reference is task.answer[answer_key], not all of task.answer")
    unparseable: Literal["mask", "zero"] = Field(
        "mask",
        description="what an unparseable verdict of it makes of the whole: unparseable too, or a score of 0 here",
    )

    @model_validator(mode="after")
    def _does_something(self) -> Part:
        if self.gate is None and self.share == 0:
            raise ValueError("weight 0 and no gate: the part would do nothing")
        return self

    @property
    def share(self) -> float:
        """The weight, or its default."""
        return self.weight if self.weight is not None else float(self.gate is None)

    def verifies(self, domain: str) -> bool:
        return not self.domains or domain in self.domains


class ComposeVerifier(Verifier):
    """Scores the sum of weight x score over the parts that verify the task's domain, or 0 if a gate is closed.

    parts  by name, each `{use, args}` as in `rewards.verifiers` and `weight`, `gate`, `domains`, `answer_key`,
           `unparseable` (see `Part`). Weights are not normalised: let them add up to 1, which is what pass@1 counts.

    Gates are asked first, then the others, in their order. The first part that decides the whole ends it, and none is
    asked after it: a closed gate (scored 0, reason gate), an infra error (so is the whole), an unparseable verdict (so
    is the whole, unless that part says `unparseable: zero`). A gate with a weight adds to the sum too. With one
    weighted part its reason is the whole's; with several: correct if all score at least 1, partial if one scores above
    0, else the first one's. What each part that was asked has said, its raw score included, stays in the verdict's
    detail under `parts`.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(self, parts: Annotated[dict[Name, Part], Field(min_length=1)]) -> None:
        if all(part.share == 0 for part in parts.values()):
            raise ValueError("parts: no part has a weight, so that every score would be 0")
        self._parts = parts
        self._verifiers = {name: construct(part.use, part.args, f"parts.{name}") for name, part in parts.items()}
        self._scorer = Scorer(self._verifiers, retries=0)

    def start(self) -> None:
        with ExitStack() as started:
            for verifier in self._verifiers.values():
                started.callback(verifier.close)  # called if this one or one after it cannot start
                verifier.start()
            started.pop_all()

    def notes(self) -> list[str]:
        parts = self._verifiers.items()
        return [f"{name}: {note}" for name, verifier in parts for note in getattr(verifier, "notes", list)()]

    def within(self, deadline_s: float) -> None:
        for verifier in self._verifiers.values():
            getattr(verifier, "within", lambda _: None)(deadline_s)

    def may_be_tried(self) -> bool:
        return all(getattr(verifier, "may_be_tried", lambda: True)() for verifier in self._verifiers.values())

    def close(self) -> None:
        with ExitStack() as closing:  # goes on where one raises
            for verifier in self._verifiers.values():
                closing.callback(verifier.close)

    def check_task(self, task: Task) -> None:
        asked = self._for_domain(task.domain)
        if not any(part.share for part in asked.values()):
            raise UserError(
                f"task {task.id!r}: domain {task.domain!r} has no part with a weight; add it to the `domains` of one"
            )
        for name, part in asked.items():
            try:
                self._verifiers[name].check_task(_task_of(task, name, part))
            except UserError as error:
                raise UserError(f"part {name!r}: {error}") from error

    def check_tasks(self, tasks: Sequence[Task], report: Callable[[int], None]) -> dict[int, str]:
        """What its parts' workers say of tasks that cannot be verified."""
        refused: dict[int, str] = {}
        for name, part in self._parts.items():
            if (look := getattr(self._verifiers[name], "check_tasks", None)) is not None:
                places = [i for i, task in enumerate(tasks) if part.verifies(task.domain)]
                found = look([_task_of(tasks[i], name, part) for i in places], report)
                refused |= {places[i]: f"part {name!r}: {why}" for i, why in found.items()}
        return refused

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        said: list[dict[str, Verdict]] = [{} for _ in answers]
        verdicts: dict[int, Verdict] = {}
        gates_first = sorted(self._parts.items(), key=lambda item: item[1].gate is None)
        for name, part in gates_first:
            asked = [i for i, a in enumerate(answers) if i not in verdicts and part.verifies(a.task.domain)]
            tasks = {key: _task_of(task, name, part) for key, task in _distinct(answers[i].task for i in asked).items()}
            shown = [replace(answers[i], task=tasks[id(answers[i].task)]) for i in asked]
            verification = self._scorer.verify(shown)
            for i, verdict in zip(asked, verification.verdicts, strict=True):
                said[i][name] = verdict
                if (whole := self._settled(name, part, verdict, verification.failures)) is not None:
                    verdicts[i] = _with_parts(whole, said[i])
        for i in range(len(answers)):
            if i not in verdicts:
                verdicts[i] = _with_parts(self._sum(said[i]), said[i])
        return [verdicts[i] for i in range(len(answers))]

    def _settled(self, name: str, part: Part, verdict: Verdict, failures: Sequence[InfraError]) -> Verdict | None:
        """The whole's verdict if this part's decides it, whatever the parts after it would say."""
        why = f"{name}: {verdict.explanation or verdict.reason}"
        if verdict.status is Status.INFRA_ERROR:
            return Verdict.infra_error(Reason.INFRA, why, infra_error=carried(failures, verdict))
        if verdict.status is Status.UNPARSEABLE and part.unparseable == "mask":
            return Verdict.unparseable(verdict.reason, why)
        if part.gate is not None and _score(verdict) < part.gate:
            return Verdict.scored(0.0, Reason.GATE, f"{why} ({_score(verdict):g}, below {part.gate:g})")
        return None

    def _sum(self, said: Mapping[str, Verdict]) -> Verdict:
        weighted = {name: verdict for name, verdict in said.items() if self._parts[name].share}
        total = round(
            math.fsum(self._parts[name].share * _score(verdict) for name, verdict in weighted.items()), _DIGITS
        )
        # What scores 0 for being unparseable still counts as that (Verdict.was_unparseable).
        lost = all(verdict.status is Status.UNPARSEABLE for verdict in weighted.values())
        return Verdict.scored(total, _reason(list(weighted.values())), unparseable=True if lost else None)

    def _for_domain(self, domain: str) -> dict[str, Part]:
        return {name: part for name, part in self._parts.items() if part.verifies(domain)}


def _distinct(tasks: Iterable[Task]) -> dict[int, Task]:
    """By identity: a group's answers share their task, and parts look at each only once."""
    return {id(task): task for task in tasks}


def _task_of(task: Task, name: str, part: Part) -> Task:
    """The task as one part sees it."""
    if part.answer_key is None:
        return replace(task, verifier=name)
    if not isinstance(task.answer, dict) or part.answer_key not in task.answer:
        raise UserError(f"task {task.id!r}: answer.{part.answer_key}: missing; it holds the reference of this part")
    return replace(task, verifier=name, answer=task.answer[part.answer_key])


def _score(verdict: Verdict) -> float:
    """0 for an unparseable part that the recipe scores so."""
    return verdict.score or 0.0


def _reason(weighted: Sequence[Verdict]) -> str:
    if len(weighted) > 1 and all(_score(verdict) >= 1 for verdict in weighted):
        return Reason.CORRECT
    if len(weighted) > 1 and any(_score(verdict) > 0 for verdict in weighted):
        return Reason.PARTIAL
    return weighted[0].reason


def _with_parts(whole: Verdict, said: Mapping[str, Verdict]) -> Verdict:
    parts = {name: {"status": str(v.status), "score": v.score, **v.detail} for name, v in said.items()}
    return replace(whole, detail={**whole.detail, "parts": parts})
