"""What stands in for engine and learner where the rest is to be measured. Imported by Ray's workers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reprise.actors import learner as learner_actor
from reprise.actors.engine_control import RayEngineControl
from reprise.actors.learner import LearnerActor, Trained
from reprise.actors.rollout import RolloutActor
from reprise.core.types import Group
from reprise.data.sft.rendering import ConversationCodec

ANSWER = "42"
_REASONING = "<think>3+9+0=12,1+2+1=04,</think>"  # with the answer 41 characters, of which marks are one token


class InstantRolloutActor(RolloutActor):
    """The real actor and the real `VllmEngine`, with `InstantLlm` in vLLM's place."""

    async def start(self) -> None:
        import reprise.rollout.vllm_engine as module

        module.AsyncLLM = InstantLlm  # type: ignore[misc,assignment]
        await super().start()


def _tokens(codec: ConversationCodec, response: str) -> list[int]:
    """What the policy would write."""
    said = [{"role": "user", "content": "?"}, {"role": "assistant", "content": response}]
    encoded = codec.encode({"messages": said})
    return encoded.ids[encoded.trainable].tolist()


class InstantLlm:
    """Answers every request at once: right and wrong in turn, so that each group has variance."""

    errored = False

    def __init__(self, policy_dir: str) -> None:
        codec = ConversationCodec(Path(policy_dir))
        self._responses = [_tokens(codec, f"{_REASONING}<ans>{answer}</ans>") for answer in (ANSWER, "41")]
        self._version = "0"

    @classmethod
    def from_engine_args(cls, arguments: Any, stat_loggers: Any) -> InstantLlm:
        return cls(arguments.model)

    async def generate(self, prompt: Any, parameters: Any, request_id: str) -> AsyncIterator[Any]:
        yield SimpleNamespace(outputs=[self._completion(i) for i in range(parameters.n)])

    def _completion(self, index: int) -> Any:
        ids = self._responses[index % 2]
        return SimpleNamespace(
            index=index,
            token_ids=ids,
            logprobs=SimpleNamespace(logprobs=[-0.5] * len(ids), start_indices=list(range(len(ids)))),
            weight_versions=[SimpleNamespace(start=0, end=len(ids), version=self._version)],
            finish_reason="stop",
        )

    async def finish_weight_update(self, weight_version: str) -> None:
        self._version = weight_version

    async def resume_generation(self) -> None:
        """Nothing is ever paused."""

    def shutdown(self) -> None:
        """Nothing to stop."""


class InstantLearnerActor(LearnerActor):
    """Receives batches and is done with them."""

    async def start(self, *_: Any) -> None:
        """Loads nothing."""

    async def connect(self, *_: Any) -> None:
        """Publishes nothing."""

    async def train(self, groups: list[Group], version: int) -> Trained:
        now = time.time()
        return Trained({}, now, now)

    async def close(self) -> None:
        """Holds nothing."""


class TimedLearnerActor(LearnerActor):
    """The real learner; its calls to the engines are timed."""

    async def connect(self, *arguments: Any) -> None:
        learner_actor.RayEngineControl = TimedControl  # type: ignore[misc]
        await super().connect(*arguments)

    async def publish_timed(self, version: int) -> tuple[float, dict[str, float], Any]:
        """Seconds until the engines have resumed (the check comes later), seconds by call, and the report.

        The time that is in no call is the gathering and writing of the first bucket.
        """
        TimedControl.calls = []
        started = time.monotonic()
        report = await self.publish(version)
        resumed = next(ended for method, _, ended in TimedControl.calls if method == "finish_weights")
        calls: dict[str, float] = {}
        for method, began, ended in TimedControl.calls:
            if ended <= resumed:
                calls[method] = calls.get(method, 0.0) + ended - began
        return resumed - started, calls, report


class TimedControl(RayEngineControl):
    """Remembers when each call to the engines began and ended, in seconds of time.monotonic."""

    calls: list[tuple[str, float, float]] = []  # noqa: RUF012 - one control a process, reached from the actor

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]], deadline_s: float) -> list[Any]:
        began = time.monotonic()
        result = super().call(method, arguments, deadline_s)
        TimedControl.calls.append((method, began, time.monotonic()))
        return result
