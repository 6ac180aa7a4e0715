"""Writing under constraints: `write 6 with ka not esn` has many right answers, verified by rule.

The reasoning counts out the letters, required ones first: `1k2a3r4t5o6m`, then `kartom`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from string import ascii_lowercase

from reprise.core.types import Task
from reprise.data.demo.problems import TAGGED, draw_distinct, pick
from reprise.data.split import Split

FORM = TAGGED

# Short enough that letters allowed never run out, however many are forbidden.
_LONGEST = 16


def draw_task(
    rng: Random, length: Sequence[int], required: Sequence[int], forbidden: Sequence[int]
) -> tuple[str, Task]:
    """A length and letters to use and to avoid, the number of each drawn evenly from (fewest, most)."""
    n = pick(rng, "length", length, most=_LONGEST)
    wanted_count = min(pick(rng, "required", required, most=_LONGEST), n)
    banned_count = pick(rng, "forbidden", forbidden, most=len(ascii_lowercase) - _LONGEST)
    letters = "".join(rng.sample(ascii_lowercase, wanted_count + banned_count))
    wanted, banned = letters[:wanted_count], letters[wanted_count:]
    task = Task(
        id=f"constrained/{n}/{wanted}/{banned}",
        prompt=f"write {n} with {wanted} not {banned}",
        domain="constrained",
        verifier="rules",
        answer={"length": n, "required": list(wanted), "forbidden": list(banned)},
    )
    return f"{n}/{''.join(sorted(wanted))}/{''.join(sorted(banned))}", task


def tasks(
    seed: int,
    count: int,
    split: Split,
    length: Sequence[int],
    required: Sequence[int],
    forbidden: Sequence[int],
) -> Iterator[Task]:
    """`count` different sets of constraints. The order of the letters does not move one across the split."""
    return draw_distinct(lambda rng: draw_task(rng, length, required, forbidden), seed, count, split)


def solve(task: Task, rng: Random, error_rate: float) -> tuple[str, str]:
    """Reasoning and answer; each letter is a forbidden one with probability `error_rate`."""
    text = [
        rng.choice(task.answer["forbidden"]) if rng.random() < error_rate else letter for letter in _right(task, rng)
    ]
    return "".join(f"{i}{c}" for i, c in enumerate(text, 1)), "".join(text)


def _right(task: Task, rng: Random) -> str:
    """The required letters, then allowed ones up to the length, no letter twice."""
    required, forbidden = task.answer["required"], task.answer["forbidden"]
    allowed = [letter for letter in ascii_lowercase if letter not in required + forbidden]
    return "".join([*required, *rng.sample(allowed, k=task.answer["length"] - len(required))])
