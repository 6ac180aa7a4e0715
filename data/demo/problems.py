"""What the domains share: drawing problems of one split, and the demo's answer form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.split import Split, on_side

# A domain's module has `draw_task`, `tasks`, `solve` and `FORM`: how a response writes its answer, for `{answer}`.
TAGGED = "<ans>{answer}</ans>"

_MAX_MISSES = 10_000


def draw(draw_task: Callable[[Random], tuple[str, Task]], rng: Random, split: Split) -> Iterator[Task]:
    """Endless tasks of one split. `draw_task` gives the canonical text, which decides the split, and the task."""
    while True:
        problem, task = draw_task(rng)
        if on_side(problem, split):
            yield task


def draw_distinct(
    draw_task: Callable[[Random], tuple[str, Task]], seed: int, count: int, split: Split
) -> Iterator[Task]:
    """`count` different tasks of one split. Raises UserError if the sizes asked for do not hold that many."""
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


def pick(rng: Random, name: str, bounds: Sequence[int], most: int, least: int = 1) -> int:
    """A number drawn evenly from `bounds`; UserError unless they are [low, high] with least <= low <= high <= most."""
    if isinstance(bounds, Sequence) and len(bounds) == 2 and all(isinstance(bound, int) for bound in bounds):
        low, high = bounds
        if least <= low <= high <= most:
            return rng.randint(low, high)
    raise UserError(f"{name}: {bounds!r} is no [fewest, most] with {least} <= fewest <= most <= {most}")
