"""The demo's problems as conversations, in a mixture of styles that leaves the policy something to learn by RL.

Clean answers reason without error and are right. Sloppy ones err in some steps and answer what follows from them.
Direct ones answer at once, and err like sloppy ones, unseen. A policy that imitates all three is right only sometimes,
and can be right nearly always by reasoning cleanly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from types import ModuleType

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.data.demo import addition, code, constrained, maths, reverse
from reprise.data.demo.problems import draw
from reprise.data.split import Split

DOMAINS: dict[str, ModuleType] = {
    "addition": addition,
    "reverse": reverse,
    "constrained": constrained,
    "maths": maths,
    "code": code,
}
STYLES = ("clean", "sloppy", "direct")


def conversations(
    seed: int,
    count: int,
    domain: str,
    split: Split,
    styles: Mapping[str, float],
    error_rate: float,
    sizes: Mapping[str, object],
) -> Iterator[dict[str, object]]:
    """`count` records of one domain: a problem of the split, and an answer whose style is drawn by weight.

    domain      addition, reverse, constrained, maths or code
    styles      weights of clean, sloppy and direct answers
    error_rate  probability that a step of a sloppy or direct answer is wrong
    sizes       of the domain's problems, as its `tasks` takes them: {"digits": [1, 4]}

    A problem may come up again, mostly with another answer: policies learn from it that there are several.
    """
    if domain not in DOMAINS:
        raise UserError(f"domain is {domain!r}; it can be {', '.join(DOMAINS)}")
    if unknown := set(styles) - set(STYLES):
        raise UserError(f"styles names {', '.join(sorted(unknown))}; there are {', '.join(STYLES)}")
    rng = Random(seed)
    problems = draw(lambda rng: DOMAINS[domain].draw_task(rng, **sizes), rng, split)
    for _ in range(count):
        task = next(problems)
        (style,) = rng.choices(list(styles), weights=list(styles.values()))
        yield record(task, answer(domain, task, style, rng, error_rate), style)


def answer(domain: str, task: Task, style: str, rng: Random, error_rate: float) -> str:
    """What the assistant writes in this style, its reasoning included."""
    module = DOMAINS[domain]
    reasoning, result = module.solve(task, rng, 0.0 if style == "clean" else error_rate)
    return f"<think>{'' if style == 'direct' else reasoning}</think>{module.FORM.replace('{answer}', result)}"


def record(task: Task, response: str, style: str) -> dict[str, object]:
    """A task and its answer as a messages record."""
    said = {"role": "assistant", "content": response}
    return {"id": task.id, "messages": [*task.messages(), said], "style": style}
