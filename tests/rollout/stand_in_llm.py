"""What stands in for vLLM's `AsyncLLM`: so many sequences at once, in order, each for so many seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from reprise.core.types import Group
from reprise.learner.publishing.settings import TRANSPORTS
from reprise.rollout.episodes.base import Responses, SampleRequest
from reprise.rollout.episodes.single_turn import SingleTurn
from reprise.rollout.settings import RolloutSettings, VllmEngineSettings

if TYPE_CHECKING:
    from reprise.rollout.vllm_engine import VllmEngine


class StandInLlm:
    """Sequences wait in a queue for one of `slots`, then take `seconds` of time in which the engine is not paused.

    The first token comes after a tenth of them. `seeds` holds the seed of every request; `reasons` gives the finish
    reasons of the responses to come, "stop" if it is used up.
    """

    errored = False
    arguments: Any  # what the engine was to be started with

    def __init__(self, slots: int, seconds: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._seconds = seconds
        self._going = asyncio.Event()
        self._going.set()
        self.most_running = self._running = 0
        self.reasons: list[str] = []
        self.seeds: list[int] = []
        self.aborted = 0
        self.output_processor = SimpleNamespace(request_states={}, external_req_ids={})

    async def generate(self, prompt: Any, parameters: Any, request_id: str) -> AsyncIterator[Any]:
        self.seeds.append(parameters.seed)
        ids = [f"{i}_{request_id}" for i in range(parameters.n)]
        self.output_processor.external_req_ids[request_id] = list(ids)
        for i in ids:
            self.output_processor.request_states[i] = SimpleNamespace(
                is_prefilling=True, prompt_len=1, detokenizer=None
            )
        children = [asyncio.ensure_future(self._sequence(i, request_id)) for i in ids]
        try:
            await asyncio.gather(*children)
        except asyncio.CancelledError:
            self.aborted += 1
            for child in children:
                child.cancel()
            raise
        yield SimpleNamespace(outputs=[self._completion(i) for i in range(parameters.n)])

    async def _sequence(self, child: str, request_id: str) -> None:
        async with self._slots:
            self._running += 1
            self.most_running = max(self.most_running, self._running)
            for share in (0.1, 0.9):
                await self._going.wait()
                await asyncio.sleep(share * self._seconds)
                self.output_processor.request_states[child].is_prefilling = False
            self._running -= 1
        self.output_processor.request_states.pop(child)
        self.output_processor.external_req_ids[request_id].remove(child)

    def _completion(self, index: int) -> Any:
        return SimpleNamespace(
            index=index,
            token_ids=[5],
            logprobs=SimpleNamespace(logprobs=[-0.5], start_indices=[0]),
            weight_versions=[SimpleNamespace(start=0, end=1, version="0")],
            finish_reason=self.reasons.pop(0) if self.reasons else "stop",
        )

    async def start_weight_update(self) -> None:
        """Nothing to prepare."""

    async def finish_weight_update(self, weight_version: str) -> None:
        """Nothing to load."""

    async def pause_generation(self, mode: str, clear_cache: bool) -> None:
        self._going.clear()

    async def resume_generation(self) -> None:
        self._going.set()


@dataclass
class Played:
    """An engine and what is played with it, as in a rollout actor."""

    engine: VllmEngine
    episode: SingleTurn

    async def sample(self, request: SampleRequest) -> tuple[Group, Responses]:
        return await self.episode.run(self.engine, request)


def engine_on(monkeypatch: pytest.MonkeyPatch, policy: Path, llm: StandInLlm, **settings: Any) -> Played:
    """The real `VllmEngine` with `llm` in vLLM's place."""
    import reprise.rollout.vllm_engine as module  # imports vLLM, which takes seconds

    def from_engine_args(arguments: Any, stat_loggers: Any) -> StandInLlm:
        llm.arguments = arguments
        return llm

    monkeypatch.setattr("reprise.rollout.vllm_engine.AsyncLLM.from_engine_args", from_engine_args)
    rollout = RolloutSettings(
        group_size=2, max_response_tokens=16, engine=VllmEngineSettings(max_model_len=64, **settings)
    )
    engine = module.VllmEngine(rollout, policy, dtype="float32", transport=TRANSPORTS["shared_memory"], seed=0)
    return Played(engine, SingleTurn(rollout, policy, seed=0))
