"""The warm start's examples: a mixture of styles, so that the policy has something left to learn by reinforcement.

Clean traces reason without error and are right. Sloppy ones err in some steps and answer what follows from them. Direct
ones answer at once, and err like sloppy ones, unseen. A policy that imitates all three is right only sometimes, and can
be right nearly always by reasoning cleanly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from types import ModuleType

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.demo import addition, code, constrained, maths, reverse
from reprise.data.demo.problems import draw
from reprise.data.traces import Trace

DOMAINS: dict[str, ModuleType] = {
    "addition": addition,
    "reverse": reverse,
    "constrained": constrained,
    "maths": maths,
    "code": code,
}


def traces(
    seed: int, count: int, domains: Mapping[str, Mapping[str, object]], styles: Mapping[str, float], error_rate: float
) -> Iterator[Trace]:
    """`count` traces over training problems, the domain of each drawn evenly and its style by weight.

    domains     the sizes of each domain's problems, as its `tasks` takes them: {"reverse": {"letters": [3, 6]}, ...}
    styles      weights of clean, sloppy and direct traces
    error_rate  probability that a step of a sloppy or direct trace is wrong
    """
    for what, given, known in (("domains", domains, set(DOMAINS)), ("styles", styles, {"clean", "sloppy", "direct"})):
        if unknown := set(given) - known:
            raise UserError(f"{what} names {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    rng = Random(seed)
    problems = {name: draw(drawer(name, sizes), rng, "train") for name, sizes in domains.items()}
    names = list(problems)
    for _ in range(count):
        name = rng.choice(names)
        task = next(problems[name])
        (style,) = rng.choices(list(styles), weights=list(styles.values()))
        yield Trace(task, write(name, task, style, rng, error_rate), style)


def drawer(name: str, sizes: Mapping[str, object]) -> Callable[[Random], tuple[str, Task]]:
    return lambda rng: DOMAINS[name].draw_task(rng, **sizes)


def write(name: str, task: Task, style: str, rng: Random, error_rate: float) -> str:
    domain = DOMAINS[name]
    reasoning, answer = domain.solve(task, rng, 0.0 if style == "clean" else error_rate)
    return f"<think>{'' if style == 'direct' else reasoning}</think>{domain.FORM.replace('{answer}', answer)}"
