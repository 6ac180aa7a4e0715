"""What an episode is, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reprise.core.types import Group, Task
from reprise.rewards.base import Answer
from reprise.rollout.engine import RolloutEngine


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Sample `group_size` responses to `task`. `start_version` is the version at which the group was admitted.

    group_id    says, with the run's seed, what noise the responses are sampled with: another id, other noise
    max_tokens  response tokens at most, where that is less than the recipe allows
    """

    task: Task
    group_id: str
    start_version: int
    group_size: int
    max_tokens: int | None = None


class TaskDoesNotFit(ValueError):
    """A task's prompt leaves no room for a response. Its group is left out and counted."""


@dataclass(frozen=True, slots=True)
class Responses:
    """A sampled group without its arrays: all that verifiers, evaluations and users need.

    texts      decoded, without special tokens
    truncated  whether the token limit ended it
    tokens     how many there are
    seconds    wall time from asking for the group to having it
    """

    texts: tuple[str, ...]
    truncated: tuple[bool, ...]
    tokens: tuple[int, ...]
    seconds: float

    def answers(self, task: Task) -> list[Answer]:
        """What the task's verifier gets to see."""
        return [Answer(task, text, cut) for text, cut in zip(self.texts, self.truncated, strict=True)]


class Episode(Protocol):
    """One way of answering a task with an engine: in one turn, or in many with an environment's."""

    async def run(self, engine: RolloutEngine, request: SampleRequest) -> tuple[Group, Responses]:
        """A group without verdicts. `TaskDoesNotFit` if the prompt leaves no room; raises what the engine raises."""
        ...
