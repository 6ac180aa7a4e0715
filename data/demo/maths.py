r"""Fractions and linear equations, answered in a box: `5/6+4/6=` is `\boxed{\frac{9}{6}}`, `2x-3=7, x=` is `\boxed{5}`.

Many forms are right: `\frac{9}{6}`, `9/6`, `3/2`, `1.5`. The reasoning works out one number a step: `5+4=9,`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import gcd
from random import Random

from reprise.core.types import Task
from reprise.data.demo.problems import draw_distinct, pick
from reprise.data.split import Split

FORM = r"\boxed{{answer}}"

_LARGEST = 9  # two-digit operands would need more reasoning than one step


def draw_task(rng: Random, numbers: Sequence[int]) -> tuple[str, Task]:
    """Two fractions of one denominator to add or subtract, two fractions to multiply, or an equation to solve.

    numbers  bounds (fewest, most) of the numbers in it, at least 2
    """
    kind = rng.choice(("sum", "product", "equation"))
    shown: tuple[int, ...]
    a, b, c, d = (pick(rng, "numbers", numbers, least=2, most=_LARGEST) for _ in range(4))
    b *= rng.choice((1, -1))
    if kind == "sum":
        shown, prompt, answer = (a, b, c), f"{a}/{c}{b:+d}/{c}=", Fraction(a + b, c)
        canonical = f"{max(a, b)}{min(a, b):+d} over {c}"
    elif kind == "product":
        shown, prompt, answer = (a, abs(b), c, d), f"{a}/{c}*{abs(b)}/{d}=", Fraction(a * abs(b), c * d)
        canonical = " times ".join(sorted((f"{a}/{c}", f"{abs(b)}/{d}")))
    else:
        shown, prompt, answer = (a, b, c), f"{a}x{b:+d}={c}, x=", Fraction(c - b, a)
        common = gcd(a, b, c)
        canonical = f"{a // common}x{b // common:+d}={c // common}"
    task = Task(
        id=f"maths/{prompt}",
        prompt=prompt,
        domain="maths",
        verifier="math",
        answer=_latex(answer),
        metadata={"kind": kind, "numbers": list(shown)},
    )
    return canonical, task


def tasks(seed: int, count: int, split: Split, numbers: Sequence[int]) -> Iterator[Task]:
    """`count` different problems. Swapped operands and multiples of an equation do not cross the split."""
    return draw_distinct(lambda rng: draw_task(rng, numbers), seed, count, split)


def solve(task: Task, rng: Random, error_rate: float) -> tuple[str, str]:
    """Reasoning and answer; each number worked out is off by one with probability `error_rate`, and then believed."""

    def work_out(value: int) -> int:
        return value + rng.choice((-1, 1)) if rng.random() < error_rate else value

    numbers = task.metadata["numbers"]
    if task.metadata["kind"] == "sum":
        a, b, c = numbers
        numerator, denominator = work_out(a + b), c
        steps = f"{a}{b:+d}={numerator},"
    elif task.metadata["kind"] == "product":
        a, b, c, d = numbers
        numerator, denominator = work_out(a * b), work_out(c * d)
        steps = f"{a}*{b}={numerator},{c}*{d}={denominator},"
    else:
        a, b, c = numbers
        numerator, denominator = work_out(c - b), a
        steps = f"{c}{-b:+d}={numerator},"
    return f"{steps}{numerator}/{denominator},", _written(numerator, denominator, rng)


def _latex(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _written(numerator: int, denominator: int, rng: Random) -> str:
    """One of the forms in which a fraction may be answered; not always in lowest terms, but a whole number is one."""
    if numerator % denominator == 0:
        return str(numerator // denominator)
    forms = [rf"\frac{{{numerator}}}{{{denominator}}}", f"{numerator}/{denominator}"]
    if 10 % denominator == 0:
        forms.append(f"{numerator / denominator:.1f}")
    return rng.choice(forms)
