"""Held-out pass@1 on the run's own engines and verifiers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reprise.actors.fleet import Fleet
from reprise.core.errors import RunError
from reprise.core.types import Status, Task, Verdict
from reprise.launch.reporting.evaluated import Evaluated
from reprise.launch.reporting.run_folder import Sample
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit


@dataclass(frozen=True, slots=True)
class _Answered:
    """A task with its responses and their verdicts."""

    task: Task
    responses: Responses
    verdicts: Sequence[Verdict]


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

    A response passes with a score of at least 1. Unparseable ones have not passed; responses that could not be verified
    by no fault of theirs are left out; RunError, with the cause, if that leaves none. A task's noise is the same in
    every evaluation of a run, so that two of them differ by the policy alone.

    Args:
        tasks: held-out tasks by domain.
        samples: responses to each task.
        at_once: responses under way at most; tasks begin in order.
        version: the version the engines hold.
        curve: the first tasks of each domain that make up the run's curve; all of them if None.
        when: "before" or "after", for the samples.
        shown: responses kept of each domain.
        on_progress: called with the number of responses verified so far.
    """
    places = asyncio.Semaphore(max(1, at_once // samples))

    async def answered(task: Task) -> _Answered | None:
        async with places:
            try:
                sampled = await fleet.sample(SampleRequest(task, f"{task.id}#eval", version, samples))
            except TaskDoesNotFit:
                return None  # counted by the fleet
            verified = await fleet.verify(task, sampled.responses)
            return _Answered(task, sampled.responses, verified.verdicts)

    done: list[_Answered] = []
    running = [asyncio.ensure_future(answered(task)) for chosen in tasks.values() for task in chosen]
    try:
        for finished in asyncio.as_completed(running):
            done += filter(None, [await finished])
            on_progress(len(done) * samples)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)  # where one fails, others often have
    records = [record for each in done for record in _records(each)]
    if not records:
        total = sum(map(len, tasks.values())) * samples
        raise RunError(f"none of {total} held-out responses could be verified: {_cause(done)}")
    on_curve = {(domain, task.id) for domain, chosen in tasks.items() for task in chosen[:curve]}
    of_curve = [record for record in records if (record.domain, record.task_id) in on_curve]
    asked = {domain: len(chosen) for domain, chosen in tasks.items()}
    judged_of = Counter(record.domain for record in records)
    unverified = {domain: (n * samples - judged_of[domain], n * samples) for domain, n in asked.items()}
    return Evaluated(
        Evaluation.of(records, asked),
        Evaluation.of(of_curve) if of_curve else None,
        _shown(done, when, shown),
        {domain: counts for domain, counts in unverified.items() if counts[0]},
    )


def _cause(done: Sequence[_Answered]) -> str:
    """What verdicts say most often."""
    most = Counter(verdict.explanation for each in done for verdict in each.verdicts).most_common(1)
    if not most:
        return "no prompt leaves tokens for a response in rollout.engine.max_model_len"
    return most[0][0] or "the verifiers do not say why"


def _records(of: _Answered) -> list[EvalRecord]:
    return [
        EvalRecord(
            domain=of.task.domain,
            task_id=of.task.id,
            sample=index,
            passed=verdict.score is not None and verdict.score >= 1,
            parseable=not verdict.was_unparseable,
            truncated=of.responses.truncated[index],
            tokens=of.responses.tokens[index],
        )
        for index, verdict in enumerate(of.verdicts)
        if verdict.status is not Status.INFRA_ERROR
    ]


def _shown(done: Sequence[_Answered], when: str, count: int) -> list[Sample]:
    by_domain: dict[str, list[Sample]] = {}
    for each in sorted(done, key=lambda each: each.task.id):
        task, verdict = each.task, each.verdicts[0]
        of_domain = by_domain.setdefault(task.domain, [])
        if len(of_domain) < count:
            prompt = task.messages()[-1]["content"]
            of_domain.append(
                Sample(
                    when,
                    task.domain,
                    task.id,
                    prompt,
                    each.responses.texts[0],
                    str(verdict.status),
                    verdict.score,
                    task.answer,
                )
            )
    return [sample for domain in sorted(by_domain) for sample in by_domain[domain]]
