"""One harmless answer for each verifier of a recipe, before anything is started.

A verifier that raises, or returns no verdicts, is found in a second and not after minutes of training. It is tried as
`reprise verify` judges: in a process of its own, which can be killed.
"""

from __future__ import annotations

import asyncio
from itertools import chain

from reprise.core.errors import RunError, UserError
from reprise.core.types import Task
from reprise.data.tasks import TaskSets
from reprise.launch.verify.host import ProcessHost
from reprise.launch.verify.loop import Ready, verify_all
from reprise.launch.verify.printed import Printed
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.case import DIED
from reprise.rewards.registry import build_verifiers
from reprise.rewards.settings import RewardSettings, VerifierSettings

_ANSWER = "I do not know."  # an answer to any task, and right for none
_DEADLINE_S = 30.0  # for a start, and for the answer
_SIDE_BY_SIDE = 4


def try_verifiers(settings: RewardSettings, tasks: TaskSets) -> list[str]:
    """Start every verifier that a task names, have it verify one answer to the first such task, and close it.

    Returns what is worth knowing, in words: a verifier that cannot verify *here* may well do so where the run puts it.
    Not tried are those with GPUs or resources of their own, and those that ask for it (`Verifier.may_be_tried`).
    UserError if one fails by a defect of its code (`InfraError.broken`), or its process dies at every try.
    """
    verifiers = build_verifiers(settings)
    firsts: dict[str, Task] = {}
    for task in chain(*tasks.train, tasks.held_out):
        firsts.setdefault(task.verifier, task)
    tried = {name: task for name, task in firsts.items() if _may_be_tried(settings.verifiers[name], verifiers[name])}
    found = asyncio.run(_try_all(settings, tried))
    notes = [
        f"Verifier {name} was not tried on an answer: it needs a GPU, a resource or a service of the run's."
        for name in firsts
        if name not in tried
    ]
    return [*notes, *(note for of_one in found for note in of_one)]


def _may_be_tried(chosen: VerifierSettings, verifier: Verifier) -> bool:
    return not chosen.gpus and not chosen.resources and getattr(verifier, "may_be_tried", lambda: True)()


async def _try_all(settings: RewardSettings, tried: dict[str, Task]) -> list[list[str]]:
    turns = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(name: str, task: Task) -> list[str]:
        async with turns:
            return await _try(name, settings.verifiers[name], task)

    return await asyncio.gather(*(one(name, task) for name, task in tried.items()))


async def _try(name: str, chosen: VerifierSettings, task: Task) -> list[str]:
    bounded = {
        "concurrency": 1,
        "deadline_s": min(chosen.deadline_s, _DEADLINE_S),
        "start_deadline_s": min(chosen.start_deadline_s, _DEADLINE_S),
    }
    chosen = chosen.model_copy(update=bounded)
    errors: list[InfraError] = []
    lost: list[str] = []
    printed = Printed()

    def create(name: str) -> ProcessHost:
        return ProcessHost(name, chosen, 0, printed)

    def write(ready: Ready) -> None:
        pass  # any verdict will do

    answers = iter([Answer(task, _ANSWER)])
    try:
        await verify_all(answers, {name: chosen}, create, write, lost.append, errors.extend, window=1, batch_size=1)
    except RunError as error:
        return [_note(str(error))]
    for defect in errors:
        died = f"\n{lost[-1].partition(';')[0]}\n{printed.last_lines()}" if defect.what.endswith(DIED) else ""
        if defect.broken or died:
            tried = f"tried on the answer {_ANSWER!r} to task {task.id!r}"
            raise UserError(f"rewards.verifiers.{name}: {tried}: {defect}{died}".rstrip())
    return [_note(other.what) for other in errors]


def _note(what: str) -> str:
    return f"Trial on a harmless answer: {what}. Make sure that this cannot happen where the verifier runs"
