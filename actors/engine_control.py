"""The engines' control plane for the learner: `learner.publishing.control.EngineControl` over Ray handles."""

from __future__ import annotations

from collections.abc import Sequence

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from reprise.actors.remote import Actor
from reprise.actors.rollout import RolloutActor
from reprise.learner.publishing.control import EngineCallError


class RayEngineControl:
    """Calls the same method on every rollout actor and waits for all of them, one deadline for all."""

    def __init__(self, engines: Sequence[Actor[RolloutActor]], workers_per_engine: int) -> None:
        self._engines = list(engines)
        self.workers_per_engine = workers_per_engine

    @property
    def engines(self) -> int:
        return len(self._engines)

    def call(self, method: str, arguments: Sequence[tuple[object, ...]], deadline_s: float) -> list[object]:
        pairs = zip(self._engines, arguments, strict=True)
        references = [getattr(engine.handle, method).remote(*args) for engine, args in pairs]
        _, waiting = ray.wait(references, num_returns=len(references), timeout=deadline_s)
        if waiting:
            late = references.index(waiting[0])
            raise EngineCallError(late, f"{method} gave no answer within {deadline_s:g} s")
        return [self._result(i, method, reference) for i, reference in enumerate(references)]

    @staticmethod
    def _result(engine: int, method: str, reference: ray.ObjectRef[object]) -> object:
        try:
            return ray.get(reference, timeout=0)
        except RayTaskError as error:
            raise EngineCallError(engine, f"{method}: {type(error.cause).__name__}: {error.cause}") from error
        except (RayActorError, GetTimeoutError) as error:
            raise EngineCallError(engine, f"{method}: {error}") from error
