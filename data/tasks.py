"""From the recipe's `data` section to checked tasks, before anything is started."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from reprise.core.errors import UserError
from reprise.core.files import absence, check_may_be_reached, dangling
from reprise.core.json_lines import check_unicode, lines_of, parse_line
from reprise.core.plugins import own_traceback, resolve
from reprise.core.printable import printable
from reprise.core.types import Task
from reprise.data.settings import DataSettings, TaskSource

_FIELDS = {f.name for f in fields(Task)}
_REQUIRED = ("id", "prompt", "domain", "verifier")


@dataclass(frozen=True, slots=True)
class TaskSets:
    """The tasks of a run.

    train     the training tasks of each source, in the source's order, held-out ones removed
    weights   the share of each source in the training stream, summing to 1
    held_out  the evaluation tasks
    excluded  how many training tasks were removed because a held-out task has their id or their prompt
    """

    train: tuple[tuple[Task, ...], ...]
    weights: tuple[float, ...]
    held_out: tuple[Task, ...]
    excluded: int

    @property
    def notes(self) -> list[str]:
        """What is worth knowing of them before hours are spent."""
        if not self.excluded:
            return []
        left = sum(map(len, self.train))
        return [
            f"{self.excluded:,} of the {left + self.excluded:,} tasks of data.train are left out of training: "
            "data.held_out has their id or their prompt."
        ]

    def held_out_by_domain(self, limit: int | None = None) -> dict[str, list[Task]]:
        """The evaluation tasks of each domain, the first `limit` of each."""
        domains: dict[str, list[Task]] = {}
        for task in self.held_out:
            domains.setdefault(task.domain, []).append(task)
        return {domain: tasks[:limit] for domain, tasks in domains.items()}


def check_sources(settings: DataSettings, verifiable: Callable[[Sequence[tuple[str, Task]]], None]) -> TaskSets:
    """Reads and checks every source. Raises UserError naming the file and line (or generator and task) at fault.

    Refused: a line that is not a JSON object, a missing, unknown or ill-typed field, a repeated id, a training source
    with nothing left to train on, and what `verifiable` refuses: it is given all tasks, each with where it stands.
    """
    held_out: list[Task] = []
    where_held: dict[str, str] = {}
    placed: list[tuple[str, Task]] = []
    for source in settings.held_out:
        held_out += _read_checked(source, where_held)
    placed += zip(where_held.values(), held_out, strict=True)
    prompts = {_prompt_key(task) for task in held_out}

    train, excluded = [], 0
    where_trained: dict[str, str] = {}
    for source in settings.train:
        tasks = _read_checked(source, where_trained)
        placed += ((where_trained[task.id], task) for task in tasks)
        kept = tuple(t for t in tasks if t.id not in where_held and _prompt_key(t) not in prompts)
        if not kept:
            raise UserError(
                f"data.train: {source.name} has no task to train on: "
                + ("all of its tasks are held out too" if tasks else "it is empty")
            )
        train.append(kept)
        excluded += len(tasks) - len(kept)
    verifiable(placed)
    total = sum(source.weight for source in settings.train)
    weights = tuple(source.weight / total for source in settings.train)
    return TaskSets(tuple(train), weights, tuple(held_out), excluded)


def _read_checked(source: TaskSource, seen: dict[str, str]) -> list[Task]:
    """The source's tasks; `seen` maps each id to the place it was met, over all sources of one side."""
    tasks = []
    for where, task in _read_jsonl(source.path) if source.path is not None else _generate(source):
        if task.id in seen:
            raise UserError(f"{where}: id {task.id!r} was already used at {seen[task.id]}; give every task its own id")
        check_unicode([task.id, task.prompt], where)
        _check_domain(task.domain, where)
        seen[task.id] = where
        tasks.append(task)
    return tasks


def _read_jsonl(named: str) -> Iterator[tuple[str, Task]]:
    path = Path(named)
    check_may_be_reached(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file of JSON lines, one task a line")
    if not path.is_file():
        link = f" ({absence(path)})" if dangling(path) else ""
        raise UserError(
            f"{named}: there is no such task file{link}; paths are relative to the folder the run is started in"
        )
    for number, line in lines_of(path):
        where = f"{path}:{number}"
        yield where, task_of(parse_line(line, where), where)


def _generate(source: TaskSource) -> Iterator[tuple[str, Task]]:
    generator = resolve(str(source.generator), "data generator")
    where = source.name
    try:
        for number, task in enumerate(generator(**source.args), 1):
            where = f"{source.name}, task {number}"
            if not isinstance(task, Task):
                raise UserError(f"{where}: a generator gives reprise.Task, not {type(task).__name__}")
            _check({name: getattr(task, name) for name in _FIELDS}, where)
            _check_pickles(task, where)
            yield where, task
            where = f"{source.name}, after task {number}"
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: the generator failed:\n{own_traceback(error, __file__)}") from error


def _check_pickles(task: Task, where: str) -> None:
    """Refuse what cannot travel to a verifier's actor."""
    try:
        pickle.dumps((task.answer, task.metadata))
    except Exception as error:
        raise UserError(f"{where}: 'answer' and 'metadata' must be data that pickle takes: {error}") from error


def task_of(record: object, where: str) -> Task:
    """The task of a parsed JSON value. `where` begins the message of the UserError that names the field at fault."""
    if not isinstance(record, dict):
        hint = "; a list is no JSONL: jq -c '.[]' makes lines of it" if isinstance(record, list) else ""
        raise UserError(f"{where}: a task is a JSON object with the fields {', '.join(sorted(_FIELDS))}{hint}")
    if unknown := sorted(set(record) - _FIELDS):
        raise UserError(f"{where}: unknown field {unknown[0]!r}; a task has {', '.join(sorted(_FIELDS))}")
    if missing := [name for name in _REQUIRED if name not in record]:
        raise UserError(f"{where}: field {missing[0]!r} is missing; a task needs {', '.join(_REQUIRED)}")
    _check(record, where)
    return Task(**record)


def _check(record: Mapping[str, object], where: str) -> None:
    """Refuse a field that is not of its type."""
    for name in ("id", "domain", "verifier"):
        if not isinstance(record[name], str) or not record[name]:
            raise UserError(f"{where}: field {name!r} must be a non-empty string, not {record[name]!r}")
    if not isinstance(record.get("metadata", {}), dict):
        raise UserError(f"{where}: field 'metadata' must be an object, not {record['metadata']!r}")
    if not _is_prompt(record["prompt"]):
        raise UserError(
            f"{where}: field 'prompt' must be a non-empty string or a list of "
            '{"role": ..., "content": ...} with string values'
        )


def _check_domain(domain: str, where: str) -> None:
    """Refuse what cannot be the last part of a metric's name: `reward/<domain>`, `eval/pass_at_1/<domain>`."""
    if "/" in domain or domain in ("mean", "all") or printable(domain) != domain:
        better = printable(domain).replace("/", ".").replace("�", "")
        raise UserError(
            f"{where}: the domain {domain!r} cannot be part of a metric's name; use one without slashes and control "
            "characters that is neither 'mean' nor 'all', such as "
            f"{better if better and better not in ('mean', 'all') else domain + '_'!r}"
        )


def _is_prompt(prompt: object) -> bool:
    if isinstance(prompt, str):
        return bool(prompt)
    return isinstance(prompt, list) and bool(prompt) and all(_is_message(message) for message in prompt)


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and set(message) == {"role", "content"}
        and all(isinstance(value, str) for value in message.values())
    )


def _prompt_key(task: Task) -> str:
    return json.dumps(task.messages(), sort_keys=True)
