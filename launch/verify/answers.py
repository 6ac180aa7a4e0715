"""The file of answers: read, and checked whole before anything is verified."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from reprise.core.errors import UserError
from reprise.core.files import check_may_be_reached
from reprise.core.json_lines import lines_of, parse_line
from reprise.core.types import Task
from reprise.data.tasks import task_of
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.loading import check_tasks
from reprise.rewards.registry import check_task

_FIELDS = ("task", "response", "truncated")
_RIGHT = '{"task": {"id", "prompt", "domain", "verifier", "answer", "metadata"}, "response": "..."}'
_SHOWN = 10


class Asked(NamedTuple):
    """What is remembered of an answer while others are verified."""

    line: int
    id: str
    domain: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A file of answers that can all be verified.

    asked     one for each answer, in the order of the file
    digests   SHA-256 of the first n answers' lines, for each n that was asked for and all of them
    """

    asked: list[Asked]
    digests: dict[int, str]


def check(path: Path, verifiers: Mapping[str, Verifier], digests_at: Sequence[int] = ()) -> Checked:
    """Read the whole file. UserError names every line (the first ten) that is malformed or could never be verified."""
    check_may_be_reached(path)
    if not path.is_file():
        raise UserError(f"--input {path}: there is no such file; it holds one object a line: {_RIGHT}")
    asked: list[Asked] = []
    problems: list[str] = []
    unknown: Counter[str] = Counter()
    hashed, digests = hashlib.sha256(), {}
    placed: list[tuple[str, Task]] = []
    accepted: Task | None = None  # several answers to one task usually stand one after the other
    for number, line in lines_of(path):
        where = f"{path}:{number}"
        if len(asked) in digests_at:
            digests[len(asked)] = hashed.hexdigest()
        hashed.update(line.strip() + b"\n")
        try:
            task = _parse(line, where).task
            unknown[task.verifier] += task.verifier not in verifiers
            if unknown[task.verifier] > 1:  # that is said once
                continue
            if task != accepted:
                _check_task(verifiers, task, where)
                accepted = task
                placed.append((where, replace(task, prompt="")))
            asked.append(Asked(number, task.id, task.domain, task.verifier))
        except UserError as error:
            problems.append(str(error))
    problems += [f"{path}: {n:,} answers name the verifier {name!r}" for name, n in unknown.items() if n > 1]
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more lines" if len(problems) > _SHOWN else ""
        raise UserError("\n".join(problems[:_SHOWN]) + more)
    check_tasks(verifiers, placed)
    if not asked:
        raise UserError(f"--input {path} holds no answers; write one object a line: {_RIGHT}")
    digests[len(asked)] = hashed.hexdigest()
    return Checked(asked, digests)


def read(path: Path, places: Sequence[int]) -> Iterator[Answer]:
    """The answers of a checked file at these places, which ascend."""
    wanted = iter(places)
    next_place = next(wanted, None)
    for place, (number, line) in enumerate(lines_of(path)):
        if next_place is None:
            return
        if place == next_place:
            yield _parse(line, f"{path}:{number}")
            next_place = next(wanted, None)


def _parse(line: bytes, where: str) -> Answer:
    return _answer(parse_line(line, where, f"write one object a line: {_RIGHT}"), where)


def _answer(record: object, where: str) -> Answer:
    if not isinstance(record, dict):
        raise UserError(f"{where}: an answer is an object: {_RIGHT}")
    if unknown := sorted(set(record) - set(_FIELDS)):
        raise UserError(f"{where}: unknown field {unknown[0]!r}; an answer has {', '.join(_FIELDS)}")
    for name in ("task", "response"):
        if name not in record:
            raise UserError(f"{where}: field {name!r} is missing; write {_RIGHT}")
    if not isinstance(record["response"], str):
        raise UserError(f"{where}: field 'response' must be a string, not {record['response']!r:.60}")
    truncated = record.get("truncated", False)
    if not isinstance(truncated, bool):
        raise UserError(f"{where}: field 'truncated' must be true or false, not {truncated!r:.60}")
    return Answer(task_of(record["task"], f"{where}: task"), record["response"], truncated)


def _check_task(verifiers: Mapping[str, Verifier], task: Task, where: str) -> None:
    try:
        check_task(verifiers, task)
    except UserError as error:
        use = f"; --set rewards.verifiers.{task.verifier}.use=./my_rewards.py:name would add it"
        raise UserError(f"{where}: {error}{use if task.verifier not in verifiers else ''}") from error
