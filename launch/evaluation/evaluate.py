"""Held-out pass@1 on the run's own engines and verifiers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprise.actors.fleet import Fleet
from reprise.core.errors import RunError
from reprise.core.types import Status, Task
from reprise.launch.reporting.run_folder import Sample
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.rollout.engine import Episode, SampleRequest, TaskDoesNotFit

# Tasks in a message: enough to make messages cheap, few enough to keep all engines and verifiers busy.
_CHUNK = 16
# Messages under way at least: while one waits for its longest response, others keep the engines busy.
_MESSAGES = 8


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Results of one evaluation, and the first few responses of each domain for people to read.

    curve     the same over the tasks of the run's curve alone, which every evaluation has; None if none was judged
    unjudged  by domain, how many of how many responses could not be judged, by no fault of theirs; none of 0
    """

    results: Evaluation
    curve: Evaluation | None
    samples: list[Sample]
    unjudged: Mapping[str, tuple[int, int]]


async def evaluate(
    fleet: Fleet,
    tasks: Mapping[str, Sequence[Task]],
    *,
    samples: int,
    at_once: int,
    version: int,
    curve: int | None = None,
    when: str = "",
    shown: int = 4,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluated:
    """pass@1 of the policy that the engines hold, at the rollout's temperature.

    A response passes with a score of at least 1. Unparseable ones have not passed; responses that could not be judged
    for no fault of theirs are left out; RunError, with the cause, if that leaves none. A task's noise is the same in
    every evaluation of a run, so that two of them differ by the policy alone.

    Args:
        tasks: held-out tasks by domain.
        samples: responses to each task.
        at_once: responses under way at most; tasks begin in order.
        version: the version the engines hold.
        curve: the first tasks of each domain that make up the run's curve; all of them if None.
        when: "before" or "after", for the samples.
        shown: responses kept of each domain.
        on_progress: called with the number of responses judged so far.
    """
    groups = max(1, at_once // samples)
    size = max(1, min(_CHUNK, groups // _MESSAGES))
    chunks: list[list[Task]] = []
    for of_verifier in _by_verifier([task for chosen in tasks.values() for task in chosen]).values():
        chunks += [of_verifier[i : i + size] for i in range(0, len(of_verifier), size)]
    places = asyncio.Semaphore(groups // size)

    async def judged(chunk: list[Task]) -> list[Episode]:
        requests = [SampleRequest(task, f"{task.id}#eval", version, samples) for task in chunk]
        async with places:
            try:
                return await (await fleet.judged(requests))
            except TaskDoesNotFit:
                return []  # the fleet tells it

    episodes: list[Episode] = []
    answers = [asyncio.ensure_future(judged(chunk)) for chunk in chunks]
    try:
        for finished in asyncio.as_completed(answers):
            episodes += await finished
            on_progress(len(episodes) * samples)
    finally:
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)  # where one fails, others often have
    records = [record for episode in episodes for record in _records(episode)]
    if not records:
        total = sum(map(len, tasks.values())) * samples
        raise RunError(f"none of {total} held-out responses could be judged: {_cause(episodes)}")
    on_curve = {(domain, task.id) for domain, chosen in tasks.items() for task in chosen[:curve]}
    of_curve = [record for record in records if (record.domain, record.task_id) in on_curve]
    asked = {domain: len(chosen) for domain, chosen in tasks.items()}
    judged_of = Counter(record.domain for record in records)
    unjudged = {domain: (n * samples - judged_of[domain], n * samples) for domain, n in asked.items()}
    return Evaluated(
        Evaluation.of(records, asked),
        Evaluation.of(of_curve) if of_curve else None,
        _shown(episodes, when, shown),
        {domain: counts for domain, counts in unjudged.items() if counts[0]},
    )


def _cause(episodes: Sequence[Episode]) -> str:
    """What verdicts say most often."""
    said = Counter(t.verdict.explanation for e in episodes for t in e.group.trajectories if t.verdict is not None)
    most = said.most_common(1)
    if not most:
        return "no prompt leaves room for a response in rollout.engine.max_model_len"
    return most[0][0] or "the verifiers do not say why"


def _by_verifier(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.verifier, []).append(task)
    return groups


def _records(episode: Episode) -> list[EvalRecord]:
    records = []
    for index, trajectory in enumerate(episode.group.trajectories):
        verdict = trajectory.verdict
        assert verdict is not None
        if verdict.status is not Status.INFRA_ERROR:
            records.append(
                EvalRecord(
                    domain=episode.group.task.domain,
                    task_id=episode.group.task.id,
                    sample=index,
                    passed=verdict.score is not None and verdict.score >= 1,
                    parseable=not verdict.was_unparseable,
                    truncated=trajectory.truncated,
                    tokens=len(trajectory.response_ids),
                )
            )
    return records


def _shown(episodes: Sequence[Episode], when: str, count: int) -> list[Sample]:
    by_domain: dict[str, list[Sample]] = {}
    for episode in sorted(episodes, key=lambda e: e.group.task.id):
        task, verdict = episode.group.task, episode.group.trajectories[0].verdict
        assert verdict is not None
        of_domain = by_domain.setdefault(task.domain, [])
        if len(of_domain) < count:
            prompt = task.messages()[-1]["content"]
            fields: dict[str, Any] = {"score": verdict.score, "expected": task.answer}
            of_domain.append(
                Sample(when, task.domain, task.id, prompt, episode.texts[0], str(verdict.status), **fields)
            )
    return [sample for domain in sorted(by_domain) for sample in by_domain[domain]]
