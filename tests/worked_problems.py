"""Problems of the demo's domains with answers in one style, as the conversations have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from reprise.core.types import Task
from reprise.data.demo.conversations import DOMAINS, answer
from reprise.data.demo.problems import draw


class Worked(NamedTuple):
    """A training problem and what the assistant answers."""

    task: Task
    response: str
    style: str


def worked(domain: str, sizes: Mapping[str, Any], style: str, count: int, error_rate: float = 0.2) -> Iterator[Worked]:
    """`count` problems of a domain, answered in this style."""
    rng = Random(3)
    problems = draw(lambda rng: DOMAINS[domain].draw_task(rng, **sizes), rng, "train")
    for _ in range(count):
        task = next(problems)
        yield Worked(task, answer(domain, task, style, rng, error_rate), style)
