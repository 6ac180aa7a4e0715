"""What the sender of weights needs from the engines, and how a failed stage is reported.

The learner does not know Ray: whoever builds it hands in an `EngineControl` (`actors/engine_control.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, cast

from reprise.core.errors import RunError
from reprise.core.transport import Message
from reprise.core.types import Float32


class EngineControl(Protocol):
    """The engines' control plane: call a method of `rollout.engine.RolloutEngine` on all of them, side by side."""

    @property
    def engines(self) -> int:
        """How many engines there are."""
        ...

    @property
    def workers_per_engine(self) -> int:
        """Processes of one engine that hold weights (its tensor-parallel size)."""
        ...

    def call(self, method: str, arguments: Sequence[tuple[object, ...]], deadline_s: float) -> list[object]:
        """`method(*arguments[i])` on engine i; all results in order, or `EngineCallError`."""
        ...


class EngineCallError(RuntimeError):
    """An engine answered with an error, or not before the deadline."""

    def __init__(self, engine: int, reason: str) -> None:
        super().__init__(engine, reason)  # all arguments, so that it survives pickling between processes
        self.engine = engine
        self.reason = reason

    def __str__(self) -> str:
        return f"engine {self.engine}: {self.reason}"


class PublishError(RunError):
    """A weight update failed; the message names stage, learner rank, version and cause."""

    def __init__(self, stage: str, rank: int, version: int, reason: str) -> None:
        super().__init__(stage, rank, version, reason)
        self.stage = stage
        self.rank = rank
        self.version = version
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"publishing version {self.version} failed in stage '{self.stage}' on learner rank {self.rank}: "
            f"{self.reason}"
        )


class Engines:
    """All engines as the receiver of one learner: names the stage it is in and holds each to the deadline.

    stage    init, gather, pause, transfer, finish or check
    version  of the update that is going on
    failed   the first call that an engine answered with an error. A sender may not hear of it: NCCL's waits in a
             broadcast for the engine that has given up, while the call was made in another thread.
    """

    def __init__(self, control: EngineControl, deadline_s: float) -> None:
        self._control = control
        self.count, self.receivers_each = control.engines, control.workers_per_engine
        self.deadline_s = deadline_s
        self.until = 0.0
        self.stage = "init"
        self.version = 0
        self.failed: EngineCallError | None = None

    def enter(self, stage: str) -> None:
        """The deadline runs anew: of the start, of an update, or of the check that follows."""
        self.stage, self.until = stage, time.monotonic() + self.deadline_s

    def _all(self, method: str, arguments: Sequence[tuple[object, ...]]) -> list[object]:
        try:
            return self._control.call(method, arguments, max(0.0, self.until - time.monotonic()))
        except EngineCallError as error:
            self.failed = self.failed or error
            raise

    def _same(self, stage: str, method: str, *arguments: object) -> list[object]:
        self.stage = stage
        return self._all(method, [arguments] * self.count)

    def init(self, messages: Sequence[Message]) -> None:
        """Once, one message for each engine."""
        self._all("init_weights", [(message,) for message in messages])

    def begin(self) -> None:
        self._same("pause", "begin_weights")

    def write(self, message: Message) -> None:
        self._same("transfer", "write_weights", message)

    def finish(self) -> None:
        self._same("finish", "finish_weights", self.version)

    def score(self, token_ids: list[int]) -> list[Float32]:
        """Per engine, float32[len-1] log-probabilities of the given tokens."""
        return cast(list[Float32], self._same("check", "score", token_ids))
