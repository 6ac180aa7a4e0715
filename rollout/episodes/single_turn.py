"""The episode of a task without an environment: one prompt, and a group of responses to it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from reprise.core.types import Group, Int32, Trajectory
from reprise.rollout.chat import ChatCodec
from reprise.rollout.engine import Completion, RolloutEngine, Sampling
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit
from reprise.rollout.seeds import request_seed
from reprise.rollout.settings import RolloutSettings


class SingleTurn:
    """Asks once.

    Args:
        settings: the recipe's `rollout` section.
        policy_dir: the policy's folder, for tokenizer and chat template.
        seed: the run's, the same for all engines: a group's noise is its own, whoever samples it.
    """

    def __init__(self, settings: RolloutSettings, policy_dir: Path, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self.codec = ChatCodec(policy_dir, settings.stop)

    async def run(self, engine: RolloutEngine, request: SampleRequest) -> tuple[Group, Responses]:
        started = time.monotonic()
        prompt = self.codec.prompt_ids(request.task)
        completions = await engine.sample(prompt, self._sampling(request, prompt))
        trajectories = tuple(_trajectory(request, prompt, completion) for completion in completions)
        texts = tuple(self.codec.text(prompt, t.response_ids) for t in trajectories)
        truncated, tokens = tuple(t.truncated for t in trajectories), tuple(len(t.response_ids) for t in trajectories)
        group = Group(request.group_id, request.task, trajectories, request.start_version)
        return group, Responses(texts, truncated, tokens, time.monotonic() - started)

    def _sampling(self, request: SampleRequest, prompt: Int32) -> Sampling:
        settings = self._settings
        room = settings.engine.max_model_len - len(prompt)
        if room < 1:
            raise TaskDoesNotFit(
                f"task {request.task.id!r}: a prompt of {len(prompt)} tokens leaves no room in "
                f"rollout.engine.max_model_len = {settings.engine.max_model_len}"
            )
        allowed = settings.max_response_tokens
        return Sampling(
            name=f"group {request.group_id}",
            n=request.group_size,
            seed=request_seed(self._seed, request.group_id),
            temperature=settings.temperature,
            max_tokens=min(allowed if request.max_tokens is None else request.max_tokens, allowed, room),
            stop_ids=self.codec.stop_ids,
        )


def _trajectory(request: SampleRequest, prompt: Int32, completion: Completion) -> Trajectory:
    return Trajectory(
        task_id=request.task.id,
        group_id=request.group_id,
        prompt_ids=prompt,
        response_ids=completion.token_ids,
        behaviour_logprobs=completion.logprobs,
        versions=completion.versions,
        trainable=np.ones(len(completion.token_ids), dtype=np.bool_),
        finish_reason=completion.finish_reason,
    )
