"""Maths answers a second, beside math-verify called directly, and maths references a second when tasks are loaded."""

from __future__ import annotations

import time
from random import Random

from rows import Aim, Row

from reprise.core.types import Task
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

PROCESSES = 2


def answers(count: int) -> list[Answer]:
    """Distinct answers in several forms, half of them right; none equals its reference letter by letter."""
    rng = Random(0)
    made = []
    for i in range(count):
        a, b = rng.randint(2, 9999), rng.randint(2, 9999)
        reference, right = {
            0: (rf"\frac{{{a}}}{{{b}}}", f"{a}/{b}"),
            1: (rf"{a}\sqrt{{3}}+{b}", rf"{b}+{a}\sqrt{{3}}"),
            2: (rf"{a}\sqrt{{2}}", rf"\sqrt{{2}}\cdot {a}"),
            3: (f"x^2+{a}x+{b}", f"{b}+{a}x+x^2"),
        }[i % 4]
        text = right if i % 8 < 4 else f"{right}+1"
        made.append(Answer(Task(str(i), "?", "maths", "math", reference), rf"so \boxed{{{text}}}"))
    return made


def measure(quick: bool) -> list[Row]:
    """Answers a second of the two, the same answers in the same order; then references a second at load."""
    asked = answers(80 if quick else 800)
    verifier = MathsVerifier(processes=PROCESSES)
    verifier.start()
    try:
        verifier.verify(asked[:8])
        started = time.perf_counter()
        verdicts = verifier.verify(asked)
        ours = len(asked) / (time.perf_counter() - started)
    finally:
        verifier.close()
    direct = _direct(asked)
    right = sum(verdict.score == 1 for verdict in verdicts)
    return [
        Row(
            "maths verifier, distinct answers",
            f"{ours:,.0f} a second in {PROCESSES} killable workers; {right} of {len(asked)} right",
            f"{direct:,.0f} a second, math-verify called directly in one process",
            ours / direct,
            Aim(),
            {"ours_per_second": ours, "direct_per_second": direct},
        ),
        _references(400 if quick else 4000),
    ]


def _references(count: int) -> Row:
    """Distinct references, as tasks are loaded; half of them have to be shown to workers."""
    tasks = [answer.task for answer in answers(count)]
    verifier = MathsVerifier(processes=PROCESSES)
    started = time.perf_counter()
    for task in tasks:
        verifier.check_task(task)
    refused = verifier.check_tasks(tasks, lambda looked_at: None)
    wall = time.perf_counter() - started
    assert not refused, refused
    return Row(
        "maths references at load",
        f"{count:,} looked at in {wall:.1f} s, the start of workers included",
        "–",
        count / wall,
        Aim(unit="/s"),
        {"references": count, "seconds": wall},
    )


def _direct(asked: list[Answer]) -> float:
    """Answers a second of `math_verify.parse` and `verify`, with their own time-outs, as other trainers call them."""
    from math_verify import parse, verify

    def once(answer: Answer) -> bool:
        return bool(verify(parse(f"${answer.task.answer}$"), parse(answer.text)))

    for answer in asked[:8]:
        once(answer)
    started = time.perf_counter()
    for answer in asked:
        once(answer)
    return len(asked) / (time.perf_counter() - started)
