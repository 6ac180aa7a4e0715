"""pass@1 with honest error bars.

A rate is the mean over tasks of each task's share of passed samples. Its 95% interval is Wilson's score interval, whose
sample size is the number of tasks when each has one sample, and otherwise the *effective* one: the number of
independent samples that would have the variance seen between task means (samples of one task are not independent).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

Z95 = NormalDist().inv_cdf(0.975)
ALL = "all"


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One evaluated response. An answer that cannot be read has `passed=False, parseable=False`.

    tokens  length of the response
    """

    domain: str
    task_id: str
    sample: int
    passed: bool
    parseable: bool
    truncated: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


class TaskCounts(NamedTuple):
    """The judged samples of one task: how many, how many of them passed, ..., and their tokens together."""

    samples: int
    passed: int
    parseable: int
    truncated: int
    tokens: int


ByTask = Mapping[tuple[str, str], TaskCounts]  # by (domain, task id)


@dataclass(frozen=True, slots=True)
class DomainResult:
    """What an evaluation says about one domain, or about all of them together.

    pass_at_1    unparseable counts as not passed
    parseable, truncated   shares of the samples
    tasks, asked tasks that the result is over, and tasks that were asked: fewer if some could not be judged
    """

    pass_at_1: Estimate
    parseable: float
    truncated: float
    tokens_mean: float
    tasks: int
    asked: int
    samples: int
    by_task: ByTask

    @property
    def task_means(self) -> dict[tuple[str, str], float]:
        """Each task's share of passed samples."""
        return {task: counts.passed / counts.samples for task, counts in self.by_task.items()}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out results of one policy version: one entry a domain (sorted), and `all` over every task."""

    domains: Mapping[str, DomainResult]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `from_json`."""
        asked = {domain: result.asked for domain, result in self.domains.items()}
        return {"asked": asked, "by_task": [[*task, *counts] for task, counts in self.domains[ALL].by_task.items()]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evaluation:
        """The evaluation that `to_json` wrote."""
        by_task = {(domain, task): TaskCounts(*counts) for domain, task, *counts in values["by_task"]}
        return cls._summed_up(by_task, values["asked"])

    @classmethod
    def of(cls, records: Iterable[EvalRecord], asked: Mapping[str, int] | None = None) -> Evaluation:
        """Sum up the records of one evaluation; `asked` are the tasks asked of each domain, those with a record if
        None. Raises ValueError if there are no records, or a domain is called `all`."""
        rows: dict[tuple[str, str], list[tuple[int, int, int, int, int]]] = defaultdict(list)
        for r in records:
            row = (1, int(r.passed and r.parseable), int(r.parseable), int(r.truncated), r.tokens)
            rows[r.domain, r.task_id].append(row)
        by_task = {task: TaskCounts(*map(sum, zip(*of_task))) for task, of_task in rows.items()}
        if not by_task:
            raise ValueError("an evaluation needs at least one record")
        if any(domain == ALL for domain, _ in by_task):
            raise ValueError(f"no domain may be called {ALL!r}: that is the name of all of them together")
        return cls._summed_up(by_task, asked | {ALL: sum(asked.values())} if asked else {})  # type: ignore[operator]

    @classmethod
    def _summed_up(cls, by_task: ByTask, asked: Mapping[str, int]) -> Evaluation:
        by_domain: dict[str, dict[tuple[str, str], TaskCounts]] = defaultdict(dict)
        for (domain, task), counts in by_task.items():
            by_domain[domain][domain, task] = counts
        parts = {**{domain: by_domain[domain] for domain in sorted(by_domain)}, ALL: by_task}
        return cls({name: _result(part, asked.get(name, len(part))) for name, part in parts.items()})

    def over(self, tasks: Iterable[tuple[str, str]]) -> Evaluation:
        """The same evaluation as if no others than these, at least one of its own, had been judged."""
        kept = set(tasks)
        asked = {domain: result.asked for domain, result in self.domains.items()}
        by_task = {task: counts for task, counts in self.domains[ALL].by_task.items() if task in kept}
        return self._summed_up(by_task, asked)

    @property
    def pass_at_1(self) -> dict[str, float]:
        """pass@1 by domain and `all`."""
        return {domain: result.pass_at_1.value for domain, result in self.domains.items()}

    def metrics(self) -> dict[str, float]:
        """The `eval/` metrics of launch/metrics.py."""
        return {
            f"eval/{name}/{domain}": value
            for domain, result in self.domains.items()
            for name, value in (
                ("pass_at_1", result.pass_at_1.value),
                ("pass_at_1_low", result.pass_at_1.low),
                ("pass_at_1_high", result.pass_at_1.high),
                ("parseable", result.parseable),
                ("tokens_mean", result.tokens_mean),
                ("tasks", result.tasks),
            )
        }


def wilson(value: float, n: float) -> Estimate:
    """Wilson's 95% score interval (1927) of a share `value` seen in `n` independent trials; `n` may be fractional."""
    centre = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n**2))
    return Estimate(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def rate(samples_by_task: Sequence[Sequence[bool]]) -> Estimate:
    """Mean over tasks of the share passed, with its 95% interval; each task has at least one sample.

    The interval is Wilson's with n = value·(1−value) / (variance of the mean of task means), kept between the number of
    tasks and the number of samples: the first if a task's samples all agree, the second if they are independent. When
    every sample passed, or none did, nothing is known of their dependence and n is the number of tasks.
    """
    means = np.array([np.mean(samples) for samples in samples_by_task], dtype=np.float64)
    tasks, samples, value = len(means), sum(len(s) for s in samples_by_task), float(means.mean())
    if samples == tasks or tasks < 2:
        return wilson(value, tasks)
    variance = float(means.var(ddof=1)) / tasks
    spread = value * (1 - value)
    effective = spread / variance if variance > 0 else samples if spread > 0 else tasks
    return wilson(value, min(max(effective, tasks), samples))


def change(before: DomainResult, after: DomainResult) -> Estimate:
    """after − before in pass@1, with Newcombe's 95% interval from two score intervals (1998, method 10).

    On the same tasks the comparison is paired: the correlation of task means narrows the interval. On others it
    is taken as 0.
    """
    correlation = _correlation(before.task_means, after.task_means)
    a, b = after.pass_at_1, before.pass_at_1
    difference = a.value - b.value
    down = _joint(a.value - a.low, b.high - b.value, correlation)
    up = _joint(a.high - a.value, b.value - b.low, correlation)
    return Estimate(difference, max(-1.0, difference - down), min(1.0, difference + up))


def compared(before: Evaluation, after: Evaluation) -> tuple[Evaluation, Evaluation]:
    """Both over the tasks that were judged in both: a task that is missing on one side would pass for a change. They
    stay as they are if they have no task in common."""
    common = before.domains[ALL].by_task.keys() & after.domains[ALL].by_task.keys()
    return (before.over(common), after.over(common)) if common else (before, after)


def changes(before: Evaluation, after: Evaluation) -> dict[str, Estimate]:
    """`change` for every domain that both evaluations have, and `all`."""
    return {d: change(before.domains[d], after.domains[d]) for d in before.domains if d in after.domains}


def _result(by_task: ByTask, asked: int) -> DomainResult:
    total = TaskCounts(*map(sum, zip(*by_task.values())))
    return DomainResult(
        pass_at_1=rate([[True] * t.passed + [False] * (t.samples - t.passed) for t in by_task.values()]),
        parseable=total.parseable / total.samples,
        truncated=total.truncated / total.samples,
        tokens_mean=total.tokens / total.samples,
        tasks=len(by_task),
        asked=asked,
        samples=total.samples,
        by_task=by_task,
    )


def _correlation(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float]) -> float:
    if before.keys() != after.keys() or len(before) < 2:  # `compared` gives both the same
        return 0.0
    x, y = (np.array([means[task] for task in before]) for means in (before, after))
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _joint(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))
