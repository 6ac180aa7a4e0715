"""What the driver hears of a batch."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from small_groups import settings

from reprise.actors.buffer import BatchInfo, BufferActor
from reprise.core.types import FinishReason, Group, Task, Trajectory, Verdict

SETTINGS = settings(max_uses=1, batch_groups=1, fresh_fraction=1.0, truncated="mask")


def taken(versions: list[int], trainable: list[bool], truncated: bool) -> BatchInfo:
    """A group of two responses with scores 0 and 1, taken at version 2: one of these tokens, one of version 0."""

    def response(versions: list[int], trainable: list[bool], finish: FinishReason) -> Trajectory:
        ids = np.array(versions, np.int32)
        logprobs = np.full(len(ids), -1, np.float32)
        return Trajectory("t", "g", ids, ids, logprobs, ids, np.array(trainable), finish)

    finish = FinishReason.LENGTH if truncated else FinishReason.STOP
    pair = (response(versions, trainable, finish), response([0], [True], FinishReason.STOP))
    group = Group("g", Task("t", "?", "d", "exact"), pair, 0)

    async def run() -> BatchInfo:
        buffer = BufferActor(SETTINGS, seed=0, uses_per_take=1)
        await buffer.add(group, [Verdict.scored(1.0), Verdict.scored(0.0)])
        return (await buffer.take(2, ["g"]))[1]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("versions", "trainable", "truncated", "current"),
    [
        ([0, 1, 2], [True, True, True], False, True),
        ([0, 1, 1], [True, True, True], False, False),
        ([0, 1, 2], [True, True, False], False, False),  # not the policy's token
        ([0, 1, 2], [True, True, True], True, False),  # masked
    ],
)
def test_a_batch_is_current_if_a_trained_token_is_of_its_own_version(
    versions: list[int], trainable: list[bool], truncated: bool, current: bool
) -> None:
    assert taken(versions, trainable, truncated).current == current
