"""How far engine and learner disagree, for a batch that cannot show it.

`policy/mismatch_kl` is over tokens of the very version that the batch was taken with: on others staleness would be in
it. A learner that need not wait takes its batch as soon as its weights are published, and no token of theirs is in it.
A few are then sampled for the purpose.
"""

from __future__ import annotations

import asyncio

import numpy as np

from reprise.actors.fleet import Fleet
from reprise.actors.learner_group import LearnerGroup
from reprise.core.types import Task
from reprise.rollout.episodes.base import SampleRequest, TaskDoesNotFit

_TOKENS = 8  # of each response
_PATIENCE_S = 2.0  # the learner stands still meanwhile; a full engine may be full for so long


async def sampled_mismatch(
    fleet: Fleet, learner: LearnerGroup, task: Task, group_size: int, version: int
) -> dict[str, float]:
    """`policy/mismatch_kl` and `policy/mismatch_abs` over `group_size` short responses; see learner/metrics.py.

    Empty if the engine has none within two seconds, or the task's prompt leaves no tokens for one. Engines and learner
    hold `version`.
    """
    request = SampleRequest(task, f"{task.id}#mismatch-{version}", version, group_size, max_tokens=_TOKENS)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            group = await (await fleet.sample(request)).group
    except (TimeoutError, TaskDoesNotFit):  # the fleet counts the latter
        return {}
    trajectories = group.trajectories
    ours = await learner.logprobs([(t.prompt_ids, t.response_ids) for t in trajectories])
    log_ratio = np.concatenate(ours).astype(np.float64) - np.concatenate([t.behaviour_logprobs for t in trajectories])
    return {
        "policy/mismatch_kl": float(np.mean(np.expm1(log_ratio) - log_ratio)),
        "policy/mismatch_abs": float(np.mean(np.abs(log_ratio))),
    }
