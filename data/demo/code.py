"""Short Python functions: `f(x): multiply by 3, add 4` asks for a program in a fenced block, verified by running it.

The reasoning puts each step into Python, `x*3;x+4;`, then comes the program. Every character is a token of the tiny
policy, so the program is indented by a single space.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.demo.problems import draw_distinct, pick
from reprise.data.demo.steps import EDGES, INPUTS, OPERATIONS, Step, Value, outputs, slips
from reprise.data.split import Split

FORM = "```python\n{answer}\n```"

_MOST_STEPS = 4
_TIME_LIMIT_S = 2.0
_MEMORY_LIMIT_MB = 128


def draw_task(rng: Random, steps: Sequence[int], tests: int = 4) -> tuple[str, Task]:
    """A function of an int or of a string, its number of steps drawn evenly from `steps` (fewest, most).

    Every step matters: without it the function would be another one. The canonical text is what the function does to
    the inputs of `steps.INPUTS`, so that two ways to ask for one function are on the same side of the split.
    """
    variable = rng.choice(list(OPERATIONS))
    if not isinstance(tests, int) or not 1 <= tests <= len(INPUTS[variable]):
        raise UserError(f"tests: {tests!r} is no number of tests from 1 to {len(INPUTS[variable])}")
    while True:
        function = [_draw_step(rng, variable) for _ in range(pick(rng, "steps", steps, most=_MOST_STEPS))]
        values = outputs(function, INPUTS[variable])
        if _every_step_matters(function, values):
            break
    asked = f"f({variable}): {', '.join(step.words for step in function)}"
    task = Task(
        id=f"code/{asked}",
        prompt=asked,
        domain="code",
        verifier="code",
        answer={
            "function": "f",
            "tests": [
                {"args": [INPUTS[variable][at]], "kwargs": {}, "expected": values[at]}
                for at in _telling_inputs(function, values, tests)
            ],
        },
        metadata={
            "steps": [[step.operation, step.argument] for step in function],
            "time_limit_s": _TIME_LIMIT_S,
            "memory_limit_mb": _MEMORY_LIMIT_MB,
        },
    )
    return json.dumps([variable, values]), task


def tasks(seed: int, count: int, split: Split, steps: Sequence[int], tests: int = 4) -> Iterator[Task]:
    """`count` different functions, each with `tests` tests; the first test is the one that most wrong programs fail."""
    return draw_distinct(lambda rng: draw_task(rng, steps, tests), seed, count, split)


def solve(task: Task, rng: Random, error_rate: float) -> tuple[str, str]:
    """Reasoning and program; each step is mistaken for a similar one with probability `error_rate`."""
    variable = str(task.prompt)[2]
    read = [Step(variable, operation, argument) for operation, argument in task.metadata["steps"]]
    written = [rng.choice(slips(step)) if rng.random() < error_rate else step for step in read]
    lines = [f"def f({variable}):", *(f" {variable}={step.code}" for step in written), f" return {variable}"]
    return "".join(f"{step.code};" for step in written), "\n".join(lines)


def _draw_step(rng: Random, variable: str) -> Step:
    operation = rng.choice(list(OPERATIONS[variable]))
    return Step(variable, operation, rng.choice(OPERATIONS[variable][operation].arguments))


def _every_step_matters(function: list[Step], values: list[Value]) -> bool:
    """Whether the function depends on its input, and none of its steps, nor several in a row, could be left out."""
    inputs = INPUTS[function[0].variable]
    parts = combinations(range(len(function) + 1), 2)
    shorter = (outputs(function[:begin] + function[end:], inputs) for begin, end in parts)
    return any(value != values[0] for value in values) and all(other != values for other in shorter)


def _telling_inputs(function: list[Step], values: list[Value], count: int) -> list[int]:
    """Indices of `count` inputs that tell the function from its misreadings (together, nearly all), the best one first.

    The edge cases (0 and a negative number, the empty string) are among them, last, since they tell little.
    """
    inputs = INPUTS[function[0].variable]
    misread = [
        outputs([*function[:i], *wrong, *function[i + 1 :]], inputs)
        for i, step in enumerate(function)
        for wrong in [(), *((slip,) for slip in slips(step))]
    ]
    # Which misreadings each input gives away. One that no input does is the same function.
    caught = [{n for n, wrong in enumerate(misread) if wrong[at] != values[at]} for at in range(len(inputs))]
    edges = EDGES[function[0].variable][: count - 1]
    left = set().union(*caught).difference(*(caught[at] for at in edges))
    chosen: list[int] = []
    while len(chosen) + len(edges) < count:
        others = [at for at in range(len(inputs)) if at not in (*edges, *chosen)]
        chosen.append(max(others, key=lambda at: (len(caught[at] & left), len(caught[at]))))
        left -= caught[chosen[-1]]
    return sorted(chosen, key=lambda at: -len(caught[at])) + list(edges)
