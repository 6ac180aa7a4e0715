"""Addition, worked digit by digit from the right: `473+92` is `3+2+0=05,7+9+0=16,4+0+1=05,`, then `565`.

A step reads: digit + digit + carry = new carry and digit of the sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from reprise.core.types import Task
from reprise.data.demo.problems import TAGGED, draw_distinct, pick
from reprise.data.split import Split

FORM = TAGGED


def draw_task(rng: Random, digits: Sequence[int]) -> tuple[str, Task]:
    """A sum of two numbers, the length of each drawn evenly from `digits` (fewest, most)."""
    a, b = (_number(rng, pick(rng, "digits", digits, most=9)) for _ in range(2))
    task = Task(id=f"addition/{a}+{b}", prompt=f"{a}+{b}=", domain="addition", verifier="exact", answer=str(a + b))
    return f"{min(a, b)}+{max(a, b)}", task


def _number(rng: Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def tasks(seed: int, count: int, split: Split, digits: Sequence[int]) -> Iterator[Task]:
    """`count` different sums. a+b and b+a are on the same side of the split."""
    return draw_distinct(lambda rng: draw_task(rng, digits), seed, count, split)


def solve(task: Task, rng: Random, error_rate: float) -> tuple[str, str]:
    """Reasoning and answer; each step's result is off by one with probability `error_rate` and then believed."""
    a, b = (operand[::-1] for operand in str(task.prompt).rstrip("=").split("+"))
    steps, written, carry = [], [], 0
    for i in range(max(len(a), len(b))):
        x, y = (int(operand[i]) if i < len(operand) else 0 for operand in (a, b))
        result = x + y + carry
        if rng.random() < error_rate:
            result += 1 if result == 0 else rng.choice((-1, 1))
        steps.append(f"{x}+{y}+{carry}={result:02d},")
        carry, digit = divmod(result, 10)
        written.append(str(digit))
    if carry:
        written.append(str(carry))
    return "".join(steps), "".join(reversed(written))
