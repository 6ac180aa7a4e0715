"""What would make a job fit: the smallest change of its settings, found with the same arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from pydantic import ValidationError

from reprise.learner.heads import heads_of
from reprise.learner.planning.budget import Budget, budget
from reprise.learner.planning.job import PlanInput
from reprise.learner.planning.measure import Measured
from reprise.learner.settings import CheckpointingSettings

POLICIES: tuple[str, ...] = get_args(CheckpointingSettings.model_fields["policy"].annotation)
_MOST_RANKS = 1024


@dataclass(frozen=True, slots=True)
class Change:
    """Keys of the engine's settings, dotted, with their new values, and the memory they lead to."""

    keys: dict[str, object]
    budget: Budget


def by_policy(measured: Measured, job: PlanInput) -> list[Budget]:
    """The job under every checkpointing policy, its other settings as they are."""
    return [budget(measured, _changed(job, {"checkpointing.policy": policy})) for policy in POLICIES]


def proposals(measured: Measured, job: PlanInput, memory: int, most: int = 3) -> list[Change]:
    """Changes that fit in `memory` bytes, the smallest first: single keys, or if none is enough, several together.

    Tried in this order: checkpointing policies that keep less, offload, ZeRO stages, sequence parallelism, more ranks.
    """
    saving = sorted(by_policy(measured, job), key=lambda b: -b.total)
    policies = [b.job.engine.checkpointing.policy for b in saving]
    singles = [c for keys in _steps(job, policies) if (c := _tried(measured, job, keys)) is not None]
    fitting = [c for c in singles if c.budget.total <= memory]
    if fitting:
        return fitting[:most]
    utmost = _tried(measured, job, _utmost(job))
    if utmost is not None and utmost.budget.total > memory:
        return []
    together = _together(measured, job, memory, policies)
    return [] if together is None else [together]


def _together(measured: Measured, job: PlanInput, memory: int, policies: Sequence[str]) -> Change | None:
    """Changes one on top of the other, each kept only if it saves memory, until it fits; then those not needed are
    taken back."""
    keys: dict[str, object] = {}
    best = budget(measured, job)
    while best.total > memory:
        current = _changed(job, keys)
        for step in _steps(current, policies):
            change = _tried(measured, job, keys | step)
            if change is not None and change.budget.total < best.total:
                keys, best = change.keys, change.budget
                break
        else:
            return None
    for key in list(keys):
        fewer = {k: v for k, v in keys.items() if k != key}
        change = _tried(measured, job, fewer)
        if change is not None and change.budget.total <= memory:
            keys, best = fewer, change.budget
    return Change(keys, best)


def _utmost(job: PlanInput) -> dict[str, object]:
    """All that saves memory at once."""
    keys: dict[str, object] = {"checkpointing.policy": "block", "checkpointing.mlp_tiles": 4, "zero_stage": 3}
    degree = max(_degrees(job))
    if job.on_gpu:
        keys |= {"checkpointing.offload": True, "offload.parameters": True}
        keys |= {"offload.optimizer": True} if job.engine.optimizer == "adamw" else {}
    return keys | {
        "sequence_parallel": degree,
        "world_size": max(_MOST_RANKS, job.engine.world_size) // degree * degree,
    }


def _degrees(job: PlanInput) -> list[int]:
    """Sequence-parallel degrees from the job's own on, by doubling, that the model's heads allow."""
    heads = heads_of(job.config)
    found, degree = [job.engine.sequence_parallel], job.engine.sequence_parallel * 2
    while degree <= heads.groups:
        if heads.groups % degree == 0 and (heads.key_value % degree == 0 or degree % heads.key_value == 0):
            found.append(degree)
        degree *= 2
    return found


def _steps(job: PlanInput, policies: Sequence[str]) -> Iterator[dict[str, object]]:
    """Single changes, the cheapest for the run's speed first; `policies` from the one that keeps most to the least."""
    engine = job.engine
    for policy in policies[policies.index(engine.checkpointing.policy) + 1 :]:
        yield {"checkpointing.policy": policy}
    if job.on_gpu and not engine.checkpointing.offload:
        yield {"checkpointing.offload": True}
    if engine.checkpointing.mlp_tiles == 1:
        yield {"checkpointing.mlp_tiles": 4}
    if job.on_gpu and engine.optimizer == "adamw" and not engine.offload.optimizer:
        yield {"offload.optimizer": True}
    for stage in range(engine.zero_stage + 1, 4):
        yield {"zero_stage": stage}
    if job.on_gpu and engine.zero_stage == 3 and not engine.offload.parameters:
        yield {"offload.parameters": True}
    for degree in _degrees(job)[1:]:
        if engine.world_size % degree == 0:
            yield {"sequence_parallel": degree}
        yield {"sequence_parallel": degree, "world_size": engine.world_size * degree // engine.sequence_parallel}
    ranks = engine.world_size * 2
    while ranks <= _MOST_RANKS:
        yield {"world_size": ranks}
        ranks *= 2


def _tried(measured: Measured, job: PlanInput, keys: dict[str, object]) -> Change | None:
    """None where the settings refuse the change."""
    try:
        return Change(keys, budget(measured, _changed(job, keys)))
    except ValidationError:
        return None


def _changed(job: PlanInput, keys: dict[str, object]) -> PlanInput:
    content = job.engine.model_dump()
    for key, value in keys.items():
        *sections, name = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[name] = value
    return replace(job, engine=type(job.engine).model_validate(content))
