"""Held-out pass@1 on the run's own engines and verifiers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.fleet import Fleet
from buffer.errors import RunError
from buffer.types import Status, Task
from launch.run_folder import Sample
from launch.statistics import EvalRecord, Evaluation
from rollout.engine import Episode, SampleRequest

# Tasks a message: large enough to make messages cheap, small enough to keep all engines and verifiers busy.
_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Results of one evaluation, and the first few responses of each domain for people to read.

    unjudged  by domain, how many of how many responses could not be judged, by no fault of theirs; none of 0
    """

    results: Evaluation
    samples: list[Sample]
    unjudged: Mapping[str, tuple[int, int]]


async def evaluate(
    fleet: Fleet,
    tasks: Mapping[str, Sequence[Task]],
    *,
    samples: int,
    version: int,
    when: str = "",
    shown: int = 4,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluated:
    """pass@1 of the policy that the engines hold, at the rollout's temperature.

    A response passes with a score of at least 1. Unparseable ones have not passed; responses that could not be judged
    for no fault of theirs are left out; RunError, with the cause, if that leaves none.

    Args:
        tasks: held-out tasks by domain.
        samples: responses a task.
        version: the version the engines hold.
        when: "before" or "after", for the samples.
        shown: responses kept a domain.
        on_progress: called with the number of responses judged so far.
    """
    chunks: list[list[Task]] = []
    for of_verifier in _by_verifier([task for chosen in tasks.values() for task in chosen]).values():
        chunks += [of_verifier[i : i + _CHUNK] for i in range(0, len(of_verifier), _CHUNK)]

    async def judged(chunk: list[Task]) -> list[Episode]:
        requests = [SampleRequest(task, f"{task.id}#eval", version, samples) for task in chunk]
        return await (await fleet.judged(requests))

    episodes: list[Episode] = []
    for finished in asyncio.as_completed([judged(chunk) for chunk in chunks]):
        episodes += await finished
        on_progress(len(episodes) * samples)
    records = [record for episode in episodes for record in _records(episode)]
    if not records:
        raise RunError(f"none of {len(episodes) * samples} held-out responses could be judged: {_cause(episodes)}")
    asked = {domain: len(chosen) for domain, chosen in tasks.items()}
    judged_of = Counter(record.domain for record in records)
    unjudged = {domain: (n * samples - judged_of[domain], n * samples) for domain, n in asked.items()}
    return Evaluated(
        Evaluation.of(records, asked),
        _shown(episodes, when, shown),
        {domain: counts for domain, counts in unjudged.items() if counts[0]},
    )


def _cause(episodes: Sequence[Episode]) -> str:
    """What verdicts say most often."""
    said = Counter(t.verdict.explanation for e in episodes for t in e.group.trajectories if t.verdict is not None)
    return said.most_common(1)[0][0] or "the verifiers do not say why"


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
