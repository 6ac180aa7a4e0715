"""When tasks are loaded: refuse those that a verifier's workers find to be impossible to verify, before the run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.rewards.base import Verifier
from reprise.rewards.registry import check_task

_SHOWN = 10  # problems in one message
_EVERY_S = 10.0  # between two lines about progress


def verifiable(verifiers: Mapping[str, Verifier], placed: Sequence[tuple[str, Task]]) -> None:
    """Refuse tasks, each with where it stands, that name no verifier, or whose verifier could never verify them.

    UserError for the first that can be told from the task alone; else for the first ten of `check_tasks`.
    """
    for where, task in placed:
        try:
            check_task(verifiers, task)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    check_tasks(verifiers, placed)


def check_tasks(verifiers: Mapping[str, Verifier], placed: Sequence[tuple[str, Task]]) -> None:
    """Refuse tasks, each with where it stands, that `check_task` let pass and a verifier's `check_tasks` does not.

    UserError names the first ten. What takes long says so on stderr.
    """
    problems: dict[int, str] = {}
    for name in dict.fromkeys(task.verifier for _, task in placed):
        places = [place for place, (_, task) in enumerate(placed) if task.verifier == name]
        if (look := getattr(verifiers[name], "check_tasks", None)) is not None:
            found: dict[int, str] = look([placed[place][1] for place in places], _progress(name))
            problems |= {places[i]: why for i, why in found.items()}
    if problems:
        lines = [f"{placed[place][0]}: {problems[place]}" for place in sorted(problems)]
        more = [f"... and {len(lines) - _SHOWN} more tasks"] if len(lines) > _SHOWN else []
        raise UserError("\n".join(lines[:_SHOWN] + more))


def _progress(name: str) -> Callable[[int], None]:
    said = time.monotonic()

    def report(done: int) -> None:
        nonlocal said
        if time.monotonic() - said > _EVERY_S:
            said = time.monotonic()
            print(f"verifier {name!r} is reading its tasks' references: {done:,} so far", file=sys.stderr, flush=True)

    return report
