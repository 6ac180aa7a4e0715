"""Noticing that the run no longer learns anything: groups rejected in a row, and what they say about the cause."""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

import numpy as np

from reprise.buffer.advantages import Reason, raw_scores
from reprise.core.errors import Starvation
from reprise.core.printable import gist
from reprise.core.types import Group, Status

MEANING = {
    Reason.ZERO_VARIANCE: "all answers to a task got the same score",
    Reason.TOO_FEW_SCORED: "fewer than two answers to a task could be scored",
    Reason.ALL_MASKED: "every answer with something to teach is masked",
}


_CAUSES = 50  # kinds of infra errors that are kept apart


class StreakState(TypedDict):
    """A `Streak` as plain values."""

    groups: dict[str, int]
    trajectories: dict[str, int]
    score_sum: float
    causes: dict[str, list[int | str]]


class Streak:
    """The groups rejected since the last one that was stored."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: Counter[str] = Counter()
        self._trajectories: Counter[str] = Counter()
        self._score_sum = 0.0
        self._causes: dict[str, tuple[int, str]] = {}  # of infra errors, by kind: how many, and the first in its words

    def end(self) -> None:
        """A group was stored."""
        self._groups.clear()
        self._trajectories.clear()
        self._causes.clear()
        self._score_sum = 0.0

    def rejected(self, group: Group, reason: Reason) -> None:
        """Count a rejected group; raises `Starvation` when there are `limit` of them in a row."""
        self._groups[reason] += 1
        for trajectory in group.trajectories:
            assert trajectory.verdict is not None
            verdict = trajectory.verdict
            self._trajectories[Status.UNPARSEABLE if verdict.was_unparseable else verdict.status] += 1
            self._trajectories["truncated"] += trajectory.truncated
            self._trajectories["invalid_logprobs"] += not trajectory.has_valid_logprobs
            if verdict.status is Status.INFRA_ERROR:
                self._caused(verdict.explanation)
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

    def _caused(self, said: str) -> None:
        kind = gist(said)
        if kind in self._causes or len(self._causes) < _CAUSES:
            count, first = self._causes.get(kind, (0, said))
            self._causes[kind] = (count + 1, first)

    def _advice(self) -> str:
        counts = self._trajectories
        total = sum(counts[status] for status in Status)
        failed = self._failed() if counts[Status.INFRA_ERROR] else ""
        if counts[Status.INFRA_ERROR] * 2 >= total:
            return failed
        if counts["invalid_logprobs"] * 2 >= total:
            return (
                f"The engines recorded log-probabilities that are not finite or above 0 for "
                f"{counts['invalid_logprobs']} of them, which cannot be trained on: see policy.dtype and their logs."
            )
        return f"{failed} {self._advice_on_verdicts(total)}".strip()

    def _failed(self) -> str:
        """Of infra errors: whatever else is wrong, the verifier has to work first."""
        count, first = max(self._causes.values(), key=lambda cause: cause[0], default=(0, ""))
        said = f", {count} of them so: {first.rstrip('.')}" if first else ""
        return (
            f"The verifiers failed on {self._trajectories[Status.INFRA_ERROR]} of them{said}. Correct the verifier "
            "(--dry-run asks it once, reprise verify runs it on a file of answers) or, if it waits for a service, "
            "see that this is up and that rewards.verifiers.*.deadline_s is long enough."
        )

    def _advice_on_verdicts(self, total: int) -> str:
        unread = self._trajectories[Status.UNPARSEABLE] * 2 >= total  # of which many may have scored 0 alike
        if self._groups[Reason.ZERO_VARIANCE] * 2 >= self._groups.total() and not unread:
            return (
                "Try tasks that the policy solves sometimes but not always (easier ones if the mean score is low, "
                "harder ones if it is high), a larger rollout.group_size, or more supervised training before RL."
            )
        if self._trajectories["truncated"] * 2 >= total:
            return "Try a larger rollout.max_response_tokens, or buffer.truncated: keep."
        return "Try supervised training before RL in the answer format that the verifiers read, or tasks that state it."

    def state(self) -> StreakState:
        """A plain dictionary for `restore`."""
        return {
            "groups": {str(k): n for k, n in self._groups.items()},
            "trajectories": {str(k): n for k, n in self._trajectories.items()},
            "score_sum": self._score_sum,
            "causes": {kind: list(cause) for kind, cause in self._causes.items()},
        }

    def restore(self, state: StreakState) -> None:
        """Go on from a `state()`."""
        self._groups = Counter(state["groups"])
        self._trajectories = Counter(state["trajectories"])
        self._score_sum = state["score_sum"]
        self._causes = {kind: (int(count), str(first)) for kind, (count, first) in state["causes"].items()}
