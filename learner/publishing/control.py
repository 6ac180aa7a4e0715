"""What the sender of weights needs from the engines, and how a failed stage is reported.

The learner does not know Ray: whoever builds it hands in an `EngineControl` (`actors/engine_control.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from reprise.core.errors import RunError
from reprise.core.types import Float32
from reprise.learner.publishing.settings import Deadlines


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


class StagedClient:
    """vLLM's `VLLMWeightSyncClient` over all engines: names the stage it is in and gives each its deadline.

    vLLM's senders call start, update and finish. The pause before the first and the resumption after the last are
    added here, so that a sender can prepare its first bytes while the engines still sample.

    failed   the first call that an engine answered with an error. A sender may not hear of it: NCCL's waits in a
             broadcast for the engine that has given up, while the call was made in another thread.
    """

    def __init__(self, control: EngineControl, deadlines: Deadlines) -> None:
        self._control = control
        self._deadlines = deadlines
        self.stage = "init"
        self.version = 0
        self.failed: EngineCallError | None = None

    def _all(self, method: str, *arguments: object, stage: str) -> list[object]:
        self.stage = stage
        everyone = [arguments] * self._control.engines
        try:
            return self._control.call(method, everyone, getattr(self._deadlines, stage))
        except EngineCallError as error:
            self.failed = self.failed or error
            raise

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Every engine gets its own rank offset: vLLM's senders count one engine only."""
        self.stage = "init"
        infos = [dict(init_info) for _ in range(self._control.engines)]
        if "rank_offset" in init_info:
            for i, info in enumerate(infos):
                info["rank_offset"] = init_info["rank_offset"] + i * self._control.workers_per_engine
        self._control.call("init_weight_transfer", [(info,) for info in infos], self._deadlines.init)

    def start_weight_update(self) -> None:
        self._all("pause", stage="pause")
        self._all("start_weight_update", stage="transfer")

    def update_weights(self, update_info: object) -> None:
        self._all("update_weights", update_info, stage="transfer")

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._all("finish_weight_update", self.version, stage="finish")
        self._all("resume", stage="resume")

    def score(self, token_ids: list[int]) -> list[Float32]:
        """Per engine, float32[len-1] log-probabilities of the given tokens."""
        return cast(list[Float32], self._all("score", token_ids, stage="check"))
