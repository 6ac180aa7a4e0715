"""The demo's problems as conversations for supervised training, written in the styles of data/demo/traces.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from reprise.core.errors import UserError
from reprise.data.demo.problems import draw
from reprise.data.demo.traces import DOMAINS, drawer, write
from reprise.data.split import Split
from reprise.data.traces import Trace

_STYLES = ("clean", "sloppy", "direct")


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
    if unknown := set(styles) - set(_STYLES):
        raise UserError(f"styles names {', '.join(sorted(unknown))}; there are {', '.join(_STYLES)}")
    rng = Random(seed)
    problems = draw(drawer(domain, sizes), rng, split)
    for _ in range(count):
        task = next(problems)
        (style,) = rng.choices(list(styles), weights=list(styles.values()))
        yield record(Trace(task, write(domain, task, style, rng, error_rate), style))


def record(trace: Trace) -> dict[str, object]:
    """A trace as a messages record."""
    answer = {"role": "assistant", "content": trace.response}
    return {"id": trace.task.id, "messages": [*trace.task.messages(), answer], "style": trace.style}
