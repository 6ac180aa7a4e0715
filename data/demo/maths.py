r"""Sums of fractions and linear equations, answered in a box: `1/2+1/3=` is `\boxed{\frac{5}{6}}`, `3x+4=19, x=` is 5.

Many forms are right: `\frac{5}{6}`, `5/6`, `10/12`, and `0.5` for a half. The reasoning is one piece of arithmetic a
step: `1*3=3,1*2=2,3+2=5,2*3=6,`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import gcd
from random import Random

from buffer.types import Task
from data.demo.problems import draw_distinct, pick
from data.split import Split

FORM = r"\boxed{{answer}}"

_LARGEST = 9
_RIGHT_SIDE = 30
_INTEGER = re.compile(r"-?\d+", re.ASCII)


def draw_task(rng: Random, numbers: Sequence[int]) -> tuple[str, Task]:
    """A sum or difference of two proper fractions, or a linear equation.

    numbers  bounds (fewest, most) of the denominators, and of the coefficients
    """
    canonical, prompt, answer = rng.choice((_fractions, _equation))(rng, numbers)
    task = Task(id=f"maths/{prompt}", prompt=prompt, domain="maths", verifier="math", answer=_latex(answer))
    return canonical, task


def tasks(seed: int, count: int, split: Split, numbers: Sequence[int]) -> Iterator[Task]:
    """`count` different problems. The order of a sum's terms, or multiples of an equation, do not cross the split."""
    return draw_distinct(lambda rng: draw_task(rng, numbers), seed, count, split)


def solve(task: Task, rng: Random, error_rate: float) -> tuple[str, str]:
    """Reasoning and answer; each number worked out is off by one with probability `error_rate` and then believed."""

    def work_out(value: int) -> int:
        return value + rng.choice((-1, 1)) if rng.random() < error_rate else value

    read = [int(number) for number in _INTEGER.findall(str(task.prompt))]
    if "x" in str(task.prompt):
        a, b, c = read
        numerator, denominator = work_out(c - b), a
        if rng.random() < error_rate:
            denominator += rng.choice((-1, 1))
        return f"{c}{-b:+d}={numerator},{numerator}/{denominator},", _written(numerator, denominator, rng)
    a, b, c, d = read
    left, right = work_out(a * d), work_out(c * b)
    numerator, denominator = work_out(left + right), work_out(b * d)
    reasoning = f"{a}*{d}={left},{c}*{b}={right},{left}{right:+d}={numerator},{b}*{d}={denominator},"
    return reasoning, _written(numerator, denominator, rng)


def _fractions(rng: Random, numbers: Sequence[int]) -> tuple[str, str, Fraction]:
    left, right = _proper_fraction(rng, numbers), _proper_fraction(rng, numbers) * rng.choice((1, -1))
    prompt = f"{_slashed(left)}{'+' if right > 0 else ''}{_slashed(right)}="
    return " ".join(_slashed(term) for term in sorted((left, right))), prompt, left + right


def _equation(rng: Random, numbers: Sequence[int]) -> tuple[str, str, Fraction]:
    a, b = (pick(rng, "numbers", numbers, least=2, most=_LARGEST) for _ in range(2))
    b, c = b * rng.choice((1, -1)), rng.randint(1, _RIGHT_SIDE)
    common = gcd(a, b, c)
    return f"{a // common}x{b // common:+d}={c // common}", f"{a}x{b:+d}={c}, x=", Fraction(c - b, a)


def _proper_fraction(rng: Random, numbers: Sequence[int]) -> Fraction:
    denominator = pick(rng, "numbers", numbers, least=2, most=_LARGEST)
    coprime = [n for n in range(1, denominator) if gcd(n, denominator) == 1]
    return Fraction(rng.choice(coprime), denominator)


def _slashed(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _latex(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _written(numerator: int, denominator: int, rng: Random) -> str:
    """One of the forms in which a fraction may be answered; it need not be in lowest terms."""
    forms = [rf"\frac{{{numerator}}}{{{denominator}}}", f"{numerator}/{denominator}"]
    if numerator % denominator == 0:
        forms.append(str(numerator // denominator))
    elif denominator in (2, 5):
        forms.append(f"{numerator / denominator:.1f}")
    return rng.choice(forms)
