"""The start-up probe: do engine and learner agree on what the engine has just sampled?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.fleet import Fleet
from actors.learner_group import LearnerGroup
from buffer.errors import RunError
from buffer.types import Task
from rollout.engine import Episode, SampleRequest


class MismatchError(RunError):
    """Engine and learner disagree on the policy; training on such log-probabilities would be wrong."""


async def probe(
    fleet: Fleet, learner: LearnerGroup, tasks: Sequence[Task], *, group_size: int, version: int, limit: float
) -> float:
    """Mean absolute difference, nats a token, between the engines' log-probabilities and the learner's.

    Responses to `tasks` are sampled as in training. Raises `MismatchError` above `limit`.
    """
    requests = [SampleRequest(task, f"{task.id}#probe", version, group_size) for task in tasks]
    episodes: list[Episode] = []
    for request in requests:
        episodes += await (await fleet.judged([request]))
    trajectories = [t for episode in episodes for t in episode.group.trajectories]
    ours = await learner.logprobs([(t.prompt_ids, t.response_ids) for t in trajectories])
    differences = np.concatenate(
        [np.abs(mine - t.behaviour_logprobs) for mine, t in zip(ours, trajectories, strict=True)]
    )
    mismatch = float(differences.mean())
    # Not `>`: a NaN must not pass.
    if not mismatch <= limit:
        raise MismatchError(
            f"engine and learner disagree by {mismatch:.3g} nats a token on the engine's own samples "
            f"(weights.max_mismatch = {limit:g}); check rollout.temperature, policy.dtype and the model's support"
        )
    return mismatch
