"""What a rollout engine is, and the records that pass through it.

Everything above this file (actors, admission, training script) talks to `RolloutEngine`; vLLM is behind one
implementation of it. Token ids go in and come out; text is decoded once, for verifiers and people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reprise.core.types import Float32, Group, Task


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
class Episode:
    """A sampled group on its way to the buffer, with the decoded responses its verifier reads.

    generate_seconds and verify_seconds are wall times from asking to having; queue_seconds is how long the group waited
    for its verifier before that.
    """

    group: Group
    texts: tuple[str, ...]
    generate_seconds: float
    verify_seconds: float = 0.0
    queue_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine did since the last time it was asked.

    busy                 intervals (start, end) in which engine steps ran, seconds of time.time: hosts are compared
    tokens               response tokens sampled
    recomputed_tokens    tokens whose keys were computed again because a weight update cleared the cache
    sampled_again        groups sampled again because a response ended neither by itself nor at its token limit
    """

    busy: tuple[tuple[float, float], ...]
    tokens: int
    recomputed_tokens: int
    sampled_again: int = 0


class RolloutEngine(Protocol):
    """One copy of the policy that samples, and can be given new weights while it samples."""

    async def sample(self, request: SampleRequest) -> Episode:
        """A group of unjudged trajectories; raises if the engine is dead or the group is overdue.

        `TaskDoesNotFit` if the prompt leaves no room.
        """
        ...

    async def prompt_logprobs(self, token_ids: Sequence[int]) -> Float32:
        """float32[len-1]: log-probability in nats of each token but the first, at temperature 1."""
        ...

    async def init_weight_transfer(self, init_info: dict[str, Any]) -> None: ...

    async def pause(self) -> None:
        """Freeze every request after the current step and clear all cached keys."""
        ...

    async def start_weight_update(self) -> None: ...

    async def update_weights(self, update_info: dict[str, Any]) -> None: ...

    async def finish_weight_update(self, version: int) -> None:
        """Take the new weights and stamp every token sampled from here on with `version`."""
        ...

    async def resume(self) -> None: ...

    def stats(self) -> EngineStats: ...

    def check_health(self) -> None:
        """Raise if the engine can no longer answer."""
        ...

    async def close(self) -> None: ...
