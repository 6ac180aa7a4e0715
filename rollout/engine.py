"""What a rollout engine is: token ids go in, sampled token ids come out.

Everything above this file talks to `RolloutEngine`; vLLM is behind one implementation of it. What is done with an
engine's tokens, in one turn or many, is an episode's affair (rollout/episodes/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

from reprise.core.errors import UserError
from reprise.core.plugins import resolve
from reprise.core.transport import Message
from reprise.core.types import FinishReason, Float32, Int32
from reprise.rollout.settings import RolloutSettings

Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue one prompt, `n` times.

    name        what the engine calls it in errors
    seed        of its noise: response i of a prompt has that of `seed` + i, whatever else the engine samples
    max_tokens  tokens at most
    stop_ids    tokens that end a response
    """

    name: str
    n: int
    seed: int
    temperature: float
    max_tokens: int
    stop_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """One continuation.

    token_ids      int32[R]    the token that ended it included
    logprobs       float32[R]  nats, under the distribution each token was sampled from (after temperature)
    versions       int32[R]    the policy version that sampled each token; a weight update may come in between
    """

    token_ids: Int32
    logprobs: Float32
    versions: Int32
    finish_reason: FinishReason


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


class WeightReceiving(Protocol):
    """The receiving end of weight updates, as the learner sees it.

    The messages are the transport's (core/transport.py): an engine hands them to a `WeightReceiver` in each process
    that holds weights, and loads what that reads.
    """

    async def init_weights(self, message: Message) -> None:
        """Agree on the transfer, once, before the first update."""
        ...

    async def begin_weights(self) -> None:
        """Freeze every request after the current step, clear all cached keys and be ready to load."""
        ...

    async def write_weights(self, message: Message) -> None:
        """Load one bucket. Raises if the last leaves the update incomplete."""
        ...

    async def finish_weights(self, version: int) -> None:
        """Take the new weights, stamp every token sampled from here on with `version`, and let requests go on."""
        ...


class RolloutEngine(WeightReceiving, Protocol):
    """One copy of the policy that samples, and can be given new weights while it samples.

    A class that `rollout.engine.use` names is built inside a running event loop, as `VllmEngine` is: `EngineClass`.
    """

    async def sample(self, prompt_ids: Int32, sampling: Sampling) -> list[Completion]:
        """`sampling.n` continuations of the prompt, int32[P]; raises if the engine is dead or they are overdue."""
        ...

    async def score(self, token_ids: Sequence[int]) -> Float32:
        """float32[len-1]: log-probability in nats of each token but the first, at temperature 1."""
        ...

    def stats(self) -> EngineStats: ...

    def check_health(self) -> None:
        """Raise if the engine can no longer answer."""
        ...

    async def close(self) -> None: ...


class EngineClass(Protocol):
    """How an engine is built.

    settings    the recipe's `rollout` section
    policy_dir  Hugging Face folder; its weights may be stale, version 0 is published before the first sample
    dtype       of weights, activations and cache
    transport   dotted path of the class by which weights come (`core.transport.transport_class`)
    seed        for what is drawn beside the requests' own noise
    """

    def __call__(
        self, settings: RolloutSettings, policy_dir: Path, *, dtype: Dtype, transport: str, seed: int
    ) -> RolloutEngine: ...


def engine_class(use: str) -> EngineClass:
    """The engine that `rollout.engine.use` names. UserError if it lacks a method of `RolloutEngine`."""
    found = resolve("reprise.rollout.vllm_engine:VllmEngine" if use == "vllm" else use, "rollout.engine.use")
    wanted = vars(RolloutEngine) | vars(WeightReceiving)
    # A subclass inherits what the protocol declares, which does nothing.
    if lacking := [n for n, nothing in wanted.items() if n[0] != "_" and getattr(found, n, nothing) is nothing]:
        raise UserError(
            f"rollout.engine.use: {use} is no rollout engine: it lacks {', '.join(lacking)} "
            "(reprise.rollout.engine.RolloutEngine)"
        )
    return cast(EngineClass, found)
