"""Do `add` and `take` of the trajectory buffer cost the same however full it is?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
from rows import Aim, Row

from reprise.buffer.settings import BufferSettings, ReuseSettings
from reprise.buffer.trajectory_buffer import Batch, TrajectoryBuffer
from reprise.core.types import FinishReason, Group, Task, Trajectory, Verdict

SMALL, LARGE = 100, 10_000  # groups held
BATCH = 64  # groups, half of them fresh, as in the demo
GROUP_SIZE, PROMPT_TOKENS, RESPONSE_TOKENS = 8, 16, 32
# Flat: the larger buffer walks a hundred times the memory, so processor caches may take a fifth, and nothing else.
FLAT = Aim(at_least=0.8)


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations a second, medians over rounds of one batch each."""

    held: int
    rounds: int
    add: float
    take: float


def measure(quick: bool) -> list[Row]:
    """The two sizes in turn, so that both see the same machine."""
    rounds = 25 if quick else 100
    small, large = Bench(SMALL), Bench(LARGE)
    for _ in range(rounds):
        small.round()
        large.round()
    few, many = small.rates(), large.rates()
    return [_row("add", few.add, many.add, rounds), _row("take", few.take, many.take, rounds)]


def _row(operation: str, few: float, many: float, rounds: int) -> Row:
    groups = "a group" if operation == "add" else f"a batch of {BATCH}"
    return Row(
        f"buffer: {operation} ({groups}), {LARGE:,} groups held",
        f"{many:,.0f} a second",
        f"{few:,.0f} a second with {SMALL} groups held",
        many / few,
        FLAT,
        {"per_second": {str(SMALL): few, str(LARGE): many}, "median_of_rounds": rounds},
    )


class Bench:
    """A buffer that holds `held` groups, nearly all of them reusable, and is full: each new group evicts another."""

    def __init__(self, held: int) -> None:
        self.held = held
        self._fresh = BATCH // 2
        settings = BufferSettings(
            batch_groups=BATCH,
            fresh_fraction=0.5,
            max_groups=held,
            max_bytes_mb=1e6,
            starvation_groups=1000,
            normalize_std=False,
            truncated="keep",
            take_deadline_s=1.0,
            reuse=ReuseSettings(max_uses=10**9, max_age=10**9),
        )
        self._buffer = TrajectoryBuffer(settings, seed=0)
        self._groups = groups(np.random.default_rng(0))
        self._version = 0
        self._seconds: dict[str, list[float]] = {"add": [], "take": []}
        while self.round().metrics["evicted/memory"] == 0:
            pass
        self._seconds = {"add": [], "take": []}

    def round(self) -> Batch:
        """Add as many groups as a batch has fresh ones, and take a batch."""
        arriving = [next(self._groups) for _ in range(self._fresh)]
        ids = [group.id for group in arriving]
        started = time.perf_counter()
        for group in arriving:
            self._buffer.add(group)
        added = time.perf_counter()
        batch = self._buffer.take(self._version, ids)
        self._seconds["take"].append(time.perf_counter() - added)
        self._seconds["add"].append((added - started) / self._fresh)
        self._version += 1
        return batch

    def rates(self) -> Rates:
        add, take = (1 / median(self._seconds[name]) for name in ("add", "take"))
        return Rates(self.held, len(self._seconds["add"]), add, take)


def groups(rng: np.random.Generator) -> Iterator[Group]:
    """Endless groups with verdicts, each with arrays and scores of its own."""
    number = 0
    while True:
        task = Task(f"t{number}", "1+1=", "bench", "exact", "2")
        right = rng.integers(1, GROUP_SIZE)  # at least one right and one wrong: every group has variance
        yield Group(f"{task.id}#{number}", task, tuple(_trajectory(task, rng, i < right) for i in range(GROUP_SIZE)), 0)
        number += 1


def _trajectory(task: Task, rng: np.random.Generator, right: bool) -> Trajectory:
    return Trajectory(
        task.id,
        task.id,
        prompt_ids=rng.integers(0, 87, PROMPT_TOKENS, dtype=np.int32),
        response_ids=rng.integers(0, 87, RESPONSE_TOKENS, dtype=np.int32),
        behaviour_logprobs=-rng.random(RESPONSE_TOKENS, dtype=np.float32),
        versions=np.zeros(RESPONSE_TOKENS, dtype=np.int32),
        trainable=np.ones(RESPONSE_TOKENS, dtype=np.bool_),
        finish_reason=FinishReason.STOP,
        verdict=Verdict.scored(float(right)),
    )
