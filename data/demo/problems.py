"""What the three domains share: drawing problems, telling held-out ones apart, and the form of a response."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Literal

from buffer.errors import UserError
from buffer.types import Task

Split = Literal["train", "held_out"]

_HELD_OUT_ONE_IN = 5
_MAX_MISSES = 10_000


def is_held_out(problem: str) -> bool:
    """Whether a problem belongs to the held-out fifth: a property of the problem alone, whatever seed drew it."""
    digest = hashlib.blake2b(problem.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % _HELD_OUT_ONE_IN == 0


def draw(draw_task: Callable[[Random], tuple[str, Task]], rng: Random, split: Split) -> Iterator[Task]:
    """Endless tasks of one split. `draw_task` gives a problem's canonical text, which decides its split, and its task."""
    while True:
        problem, task = draw_task(rng)
        if is_held_out(problem) == (split == "held_out"):
            yield task


def draw_distinct(
    draw_task: Callable[[Random], tuple[str, Task]], seed: int, count: int, split: Split
) -> Iterator[Task]:
    """`count` different tasks of one split. Raises UserError if the sizes asked for do not hold that many."""
    if split not in ("train", "held_out"):
        raise UserError(f"split is {split!r}; it can be train or held_out")
    seen: set[str] = set()
    misses = 0
    candidates = draw(draw_task, Random(seed), split)
    while len(seen) < count:
        task = next(candidates)
        if task.id not in seen:
            seen.add(task.id)
            misses = 0
            yield task
        elif (misses := misses + 1) == _MAX_MISSES:
            raise UserError(
                f"{count} different {split} tasks of {task.domain} were asked for, but these sizes hold only about "
                f"{len(seen)}; ask for fewer, or for larger problems"
            )


def response(reasoning: str, answer: str) -> str:
    """The form that every demo response has."""
    return f"<think>{reasoning}</think><ans>{answer}</ans>"
