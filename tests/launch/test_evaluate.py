"""Held-out pass@1 when verifiers fail; engines are stood in for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from buffer.errors import RunError
from buffer.types import FinishReason, Group, Task, Trajectory, Verdict
from launch.evaluate import Evaluated, evaluate
from rollout.engine import Episode, SampleRequest

RIGHT, RAISED = Verdict.scored(1.0), Verdict.infra_error("infra", "verifier 'mine' raised KeyError: 'x'")
TASKS = {"sums": [Task(str(n), "?", "sums", "mine") for n in range(10)]}


class Fleet:
    """Gives the n-th request of all the n-th verdict."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self._verdicts = iter(verdicts)

    async def judged(self, requests: Sequence[SampleRequest]) -> Any:
        async def episodes() -> list[Episode]:
            return [self._episode(request) for request in requests]

        return episodes()

    def _episode(self, request: SampleRequest) -> Episode:
        ids, floats = np.ones(1, np.int32), np.zeros(1, np.float32)
        one = Trajectory(request.task.id, "g", ids, ids, floats, ids, np.ones(1, bool), FinishReason.STOP)
        judged = (one.judged(next(self._verdicts)),)
        return Episode(Group("g", request.task, judged, 0), ("text",), generate_seconds=0.0)


def evaluated(verdicts: Sequence[Verdict]) -> Evaluated:
    return asyncio.run(evaluate(Fleet(verdicts), TASKS, samples=1, version=0))  # type: ignore[arg-type]


def test_if_nothing_could_be_judged_the_cause_is_named() -> None:
    with pytest.raises(RunError, match="none of 10 held-out responses could be judged: verifier 'mine' raised KeyErr"):
        evaluated([RAISED] * 10)


def test_what_could_not_be_judged_is_left_out_and_counted() -> None:
    result = evaluated([RIGHT] * 7 + [RAISED] * 3)
    assert result.unjudged == {"sums": (3, 10)}
    assert (result.results.domains["sums"].tasks, result.results.domains["sums"].asked) == (7, 10)
    assert evaluated([RIGHT] * 10).unjudged == {}


def test_an_unreadable_answer_that_scores_0_is_still_no_parseable_one() -> None:
    unread = Verdict.scored(0.0, "no_answer", unparseable=True)
    assert evaluated([RIGHT] * 6 + [unread] * 4).results.domains["sums"].parseable == 0.6
