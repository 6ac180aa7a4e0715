"""The start-up probe: do engine and learner agree on what the engine has just sampled?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from reprise.actors.fleet import Fleet
from reprise.actors.learner_group import LearnerGroup
from reprise.core.errors import RunError
from reprise.core.types import Task, Trajectory
from reprise.rollout.episodes.base import SampleRequest, TaskDoesNotFit

_TASKS = 8
_RESPONSE_TOKENS = 256  # enough to see a disagreement; long responses would keep the run waiting


class MismatchError(RunError):
    """Engine and learner disagree on the policy; training on such log-probabilities would be wrong."""


async def probe(
    fleet: Fleet, learner: LearnerGroup, tasks: Iterable[Task], group_size: int, version: int, limit: float
) -> float:
    """Mean absolute difference, nats a token, between the engines' log-probabilities and the learner's.

    Responses to the first eight `tasks` are sampled as in training, all at once and of at most 256 tokens. Raises
    `MismatchError` above `limit`.
    """
    chosen = list(islice(tasks, _TASKS))

    async def sampled(task: Task) -> Sequence[Trajectory]:
        request = SampleRequest(task, f"{task.id}#probe", version, group_size, max_tokens=_RESPONSE_TOKENS)
        try:
            return (await (await fleet.sample(request)).group).trajectories
        except TaskDoesNotFit:
            return ()  # counted by the fleet

    trajectories = [t for group in await asyncio.gather(*map(sampled, chosen)) for t in group]
    if not trajectories:
        raise RunError(
            f"the prompts of {len(chosen)} tasks leave no tokens for a response in rollout.engine.max_model_len"
        )
    ours = await learner.logprobs([(t.prompt_ids, t.response_ids) for t in trajectories])
    differences = np.concatenate(
        [np.abs(mine - t.behaviour_logprobs) for mine, t in zip(ours, trajectories, strict=True)]
    )
    mismatch = float(differences.mean())
    # Not `>`: a NaN must not pass.
    if not mismatch <= limit:
        raise MismatchError(
            f"engine and learner disagree by {mismatch:.3g} nats a token on the engine's own samples "
            f"(weights.max_probe_mismatch = {limit:g}); check rollout.temperature, policy.dtype and the model's support"
        )
    return mismatch
