"""Noticing that the run no longer learns anything: groups rejected in a row, and what they say about the cause."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from buffer.advantages import Reason, raw_scores
from buffer.errors import Starvation
from buffer.types import Group, Status

MEANING = {
    Reason.ZERO_VARIANCE: "all answers to a task got the same score",
    Reason.TOO_FEW_SCORED: "fewer than two answers to a task could be scored",
    Reason.ALL_MASKED: "every answer with something to teach is masked as truncated",
}


class Streak:
    """The groups rejected since the last one that was admitted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: Counter[str] = Counter()
        self._trajectories: Counter[str] = Counter()
        self._score_sum = 0.0

    def end(self) -> None:
        """A group was admitted."""
        self._groups.clear()
        self._trajectories.clear()
        self._score_sum = 0.0

    def rejected(self, group: Group, reason: Reason) -> None:
        """Count a rejected group; raises `Starvation` when there are `limit` of them in a row."""
        self._groups[reason] += 1
        for trajectory in group.trajectories:
            assert trajectory.verdict is not None
            self._trajectories[trajectory.verdict.status] += 1
            self._trajectories["truncated"] += trajectory.truncated
        self._score_sum += float(np.nansum(raw_scores(group)))
        if self._groups.total() >= self._limit:
            raise Starvation(self._message())

    def _message(self) -> str:
        by_reason = ", ".join(f"{n} {reason} ({MEANING[Reason(reason)]})" for reason, n in self._groups.most_common())
        counts = self._trajectories
        scored = counts[Status.SCORED]
        total = sum(counts[status] for status in Status)
        mean = f" with mean score {self._score_sum / scored:.3g}" if scored else ""
        return (
            f"{self._groups.total()} groups in a row taught nothing: {by_reason}. Of their {total} trajectories "
            f"{scored} were scored{mean}, {counts[Status.UNPARSEABLE]} unparseable, "
            f"{counts[Status.INFRA_ERROR]} infra_error; {counts['truncated']} were truncated. {self._advice()}"
        )

    def _advice(self) -> str:
        counts = self._trajectories
        if self._groups[Reason.ZERO_VARIANCE] * 2 >= self._groups.total():
            return (
                "Try tasks that the policy solves sometimes but not always (easier ones if the mean score is low, "
                "harder ones if it is high), a larger rollout.group_size, or a longer learner.warm_start."
            )
        if counts["truncated"] * 2 >= sum(counts[status] for status in Status):
            return "Try a larger rollout.max_response_tokens, or buffer.truncated: keep."
        if counts[Status.INFRA_ERROR] > counts[Status.UNPARSEABLE]:
            return (
                "The verifiers fail by themselves: look at the details of their verdicts and at "
                "rewards.verifiers.*.deadline_s."
            )
        return "Try a longer learner.warm_start in the answer format that the verifiers read, or tasks that state it."

    def state(self) -> dict[str, Any]:
        """A plain dictionary for `restore`."""
        return {
            "groups": {str(k): n for k, n in self._groups.items()},
            "trajectories": {str(k): n for k, n in self._trajectories.items()},
            "score_sum": self._score_sum,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self._groups = Counter(state["groups"])
        self._trajectories = Counter(state["trajectories"])
        self._score_sum = state["score_sum"]
