"""Drives a real `VllmEngine` and its episode from synchronous tests, in the place that an actor has in a run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reprise.core.types import Group, Task, Trajectory
from reprise.learner.publishing.control import EngineCallError
from reprise.learner.publishing.settings import TRANSPORTS
from reprise.rollout.episodes.base import SampleRequest
from reprise.rollout.episodes.single_turn import SingleTurn
from reprise.rollout.settings import RolloutSettings, VllmEngineSettings

Dtype = Literal["float32", "bfloat16"]
LONGEST = 320  # tokens of prompt and response

SETTINGS = RolloutSettings(
    group_size=4,
    temperature=0.7,
    max_response_tokens=160,
    engine=VllmEngineSettings(max_model_len=LONGEST, kv_cache_gb=0.25),
)


class LiveEngine:
    """One engine on an event loop in a thread. Also an `EngineControl` of that one engine."""

    engines = 1
    workers_per_engine = 1

    def __init__(self, policy_dir: Path, settings: RolloutSettings = SETTINGS, dtype: Dtype = "float32") -> None:
        self.settings, self.dtype = settings, dtype
        self.episode = SingleTurn(settings, policy_dir, seed=0)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.engine = self.run(self._start(policy_dir), timeout=300.0)

    async def _start(self, policy_dir: Path) -> Any:
        from reprise.rollout.vllm_engine import VllmEngine

        return VllmEngine(self.settings, policy_dir, dtype=self.dtype, transport=TRANSPORTS["shared_memory"], seed=0)

    def submit(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 120.0) -> Any:
        return self.submit(work).result(timeout)

    def sample(self, prompts: Sequence[str], group_size: int = 4) -> Any:
        """A future of the groups of these prompts, sampled side by side."""

        async def everything() -> list[Group]:
            tasks = [Task(f"t{i}", prompt, "test", "exact") for i, prompt in enumerate(prompts)]
            requests = [SampleRequest(task, f"{task.id}#0", 0, group_size) for task in tasks]
            sampled = await asyncio.gather(*(self.episode.run(self.engine, request) for request in requests))
            return [group for group, _ in sampled]

        return self.submit(everything())

    def greedy(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[tuple[list[int], list[float]]]:
        """`tokens` most likely tokens after each prompt, whatever they are, with their log-probabilities at T = 1."""
        from vllm import SamplingParams

        parameters = SamplingParams(
            temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=0, flat_logprobs=True, detokenize=False
        )

        async def everything() -> list[Any]:
            return await asyncio.gather(*(self.engine._finish(list(ids), parameters) for ids in prompts))

        outputs = [finished.outputs[0] for finished in self.run(everything())]
        return [
            (list(o.token_ids), np.asarray(o.logprobs.logprobs)[o.logprobs.start_indices].tolist()) for o in outputs
        ]

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]], deadline_s: float) -> list[Any]:
        try:
            return [self.run(getattr(self.engine, method)(*arguments[0]), deadline_s)]
        except Exception as error:
            raise EngineCallError(0, f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self.run(self.engine.close())
        self.loop.call_soon_threadsafe(self.loop.stop)


def trajectories(groups: Sequence[Group]) -> list[Trajectory]:
    return [t for group in groups for t in group.trajectories]
