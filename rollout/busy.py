"""When engine steps ran, from vLLM's per-step statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vllm.v1.metrics.loggers import StatLoggerBase

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.metrics.stats import IterationStats, MultiModalCacheStats, SchedulerStats


class BusyClock:
    """Turns "a step has just ended, and n requests are still running" into busy intervals, in seconds of `time.time`.

    vLLM reports the end of a step. Its start is the end of the step before it if requests were running then; the first
    step after idleness is counted from its report on, so busy time is never overstated.
    """

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []
        self._since: float | None = None
        self._tokens = 0

    def step(self, now: float, running: int, tokens: int) -> None:
        """A step ended at `now`, sampled `tokens`, and left `running` requests to go on with."""
        self._tokens += tokens
        if self._since is None:
            self._since = now if running else None
        elif not running:
            self.idle(now)

    def idle(self, now: float) -> None:
        """No step runs from `now` on (nothing to do, or a pause)."""
        if self._since is not None:
            self._intervals.append((self._since, now))
            self._since = None

    def drain(self, now: float) -> tuple[tuple[tuple[float, float], ...], int]:
        """The busy intervals and tokens since the last call; an open interval is cut at `now` and goes on."""
        going_on = self._since is not None
        self.idle(now)
        if going_on:
            self._since = now
        intervals, self._intervals = tuple(self._intervals), []
        tokens, self._tokens = self._tokens, 0
        return intervals, tokens


class StepListener(StatLoggerBase):
    """vLLM's statistics hook, forwarding each step to a `BusyClock`."""

    clock: BusyClock

    def __init__(self, vllm_config: VllmConfig, engine_index: int = 0) -> None:
        """vLLM's signature; `factory` supplies the clock."""

    @classmethod
    def factory(cls, clock: BusyClock) -> Callable[..., StepListener]:
        """A factory in the form vLLM asks for, bound to `clock`."""

        def build(vllm_config: VllmConfig, engine_index: int = 0) -> StepListener:
            listener = cls(vllm_config, engine_index)
            listener.clock = clock
            return listener

        return build

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: MultiModalCacheStats | None = None,
        engine_idx: int = 0,
    ) -> None:
        if scheduler_stats is not None:
            tokens = iteration_stats.num_generation_tokens if iteration_stats else 0
            self.clock.step(time.time(), scheduler_stats.num_running_reqs, tokens)

    def log_engine_initialized(self) -> None:
        """Nothing to say."""
