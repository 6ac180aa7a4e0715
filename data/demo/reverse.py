"""Reversing a word whose letters are first counted: `reverse planet` is `1p2l3a4n5e6t`, then `tenalp`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from string import ascii_lowercase

from reprise.core.types import Task
from reprise.data.demo.problems import TAGGED, draw_distinct, pick
from reprise.data.split import Split

FORM = TAGGED


def draw_task(rng: Random, letters: Sequence[int]) -> tuple[str, Task]:
    """A made-up word of different letters, its length drawn evenly from `letters` (fewest, most)."""
    word = "".join(rng.sample(ascii_lowercase, k=pick(rng, "letters", letters, most=len(ascii_lowercase))))
    task = Task(id=f"reverse/{word}", prompt=f"reverse {word}", domain="reverse", verifier="exact", answer=word[::-1])
    return f"reverse {word}", task


def tasks(seed: int, count: int, split: Split, letters: Sequence[int]) -> Iterator[Task]:
    """`count` different words to reverse."""
    return draw_distinct(lambda rng: draw_task(rng, letters), seed, count, split)


def solve(task: Task, rng: Random, error_rate: float) -> tuple[str, str]:
    """Reasoning and answer; each letter is misread with probability `error_rate`, and so answered."""
    word = str(task.prompt).removeprefix("reverse ")
    others = [letter for letter in ascii_lowercase if letter not in word]
    read = [rng.choice(others) if rng.random() < error_rate else letter for letter in word]
    return "".join(f"{i}{c}" for i, c in enumerate(read, 1)), "".join(reversed(read))
