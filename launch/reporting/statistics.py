"""pass@1 with honest error bars.

A rate is the mean over tasks of each task's share of passed samples. Its 95% interval is Wilson's score interval, whose
sample size is the number of tasks when each has one sample, and otherwise the *effective* one: the number of
independent samples that would have the variance seen between task means (samples of one task are not independent).
A variance that is itself estimated from few tasks makes Student's t quantile take the normal one's place.

A change is over the tasks that both evaluations have, pair by pair.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
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
    """The verified samples of one task: how many, how many of them passed, ..., and their tokens together."""

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
    tasks, asked tasks that the result is over, and tasks that were asked: fewer if some could not be verified
    """

    pass_at_1: Estimate
    parseable: float
    truncated: float
    tokens_mean: float
    tasks: int
    asked: int
    samples: int
    by_task: ByTask


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out results of one policy version: one entry a domain (sorted), and `all` over every task."""

    domains: Mapping[str, DomainResult]

    def to_json(self) -> dict[str, object]:
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
        """The same evaluation as if no others than these, at least one of its own, had been verified."""
        kept = set(tasks)
        asked = {domain: result.asked for domain, result in self.domains.items()}
        by_task = {task: counts for task, counts in self.domains[ALL].by_task.items() if task in kept}
        return self._summed_up(by_task, asked)

    @property
    def pass_at_1(self) -> dict[str, float]:
        """pass@1 by domain and `all`."""
        return {domain: result.pass_at_1.value for domain, result in self.domains.items()}

    def metrics(self) -> dict[str, float]:
        """The `eval/` metrics of launch/reporting/metrics.py."""
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


def wilson(value: float, n: float, quantile: float = Z95) -> Estimate:
    """Wilson's score interval (1927) of a share `value` seen in `n` independent trials, which may be fractional; a 95%
    interval with the normal quantile."""
    centre = (value + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile / (1 + quantile**2 / n) * math.sqrt(value * (1 - value) / n + quantile**2 / (4 * n**2))
    return Estimate(value, min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))


def rate(passed: Sequence[int], samples: Sequence[int]) -> Estimate:
    """Mean over tasks of the share of their samples that passed, with its 95% interval; each task has samples.

    The interval is Wilson's with the effective number of samples, and with the t quantile of tasks − 1 degrees of
    freedom where that number rests on the variance between tasks.
    """
    means = np.divide(passed, samples)
    effective, estimated = _effective(means, sum(samples))
    return wilson(float(means.mean()), effective, student_t(len(means) - 1, 0.975) if estimated else Z95)


def _effective(means: Float64, samples: int) -> tuple[float, bool]:
    """How many independent samples say as much as these tasks' means, and whether the variance between tasks says so.

    value·(1−value) / (variance of the mean of task means), kept between the number of tasks and the number of samples:
    the first if a task's samples all agree, the second if they are independent. When every sample passed, or none did,
    nothing is known of their dependence: the number of tasks.
    """
    tasks, value = len(means), float(means.mean())
    spread = value * (1 - value)
    if samples == tasks or tasks < 2 or not spread > 0:
        return tasks, False
    variance = float(means.var(ddof=1)) / tasks
    return min(max(spread / variance if variance > 0 else samples, tasks), samples), True


def change(before: DomainResult, after: DomainResult, confidence: float = 0.95) -> Estimate:
    """after − before in pass@1 over the tasks that both have, with its interval.

    Paired: Bonett and Price's interval (2012), t for z, made for means of several samples. Two tasks are added to the
    differences, one better and one worse by 1/√(effective samples a task): without them the interval would be empty
    where no task changed, which says little of a few tasks. If no task is in common, Newcombe's interval from two score
    intervals (1998, method 10), at 95%.
    """
    common = [task for task in before.by_task if task in after.by_task]
    if not common:
        return _unpaired(before, after)
    firsts, seconds = (_over(result, common) for result in (before, after))
    differences = seconds[0] - firsts[0]
    effective = min(_effective(*firsts)[0], _effective(*seconds)[0]) / len(common)
    padded = np.append(differences, (effective**-0.5, -(effective**-0.5)))
    half = student_t(len(padded) - 1, (1 + confidence) / 2) * float(padded.std()) / math.sqrt(len(padded))
    value, centre = float(differences.mean()), float(padded.mean())
    return Estimate(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def _over(result: DomainResult, tasks: Sequence[tuple[str, str]]) -> tuple[Float64, int]:
    """The means of these tasks, and how many samples they have together."""
    counts = [result.by_task[task] for task in tasks]
    return np.array([c.passed / c.samples for c in counts]), sum(c.samples for c in counts)


def _unpaired(before: DomainResult, after: DomainResult) -> Estimate:
    a, b = after.pass_at_1, before.pass_at_1
    difference = a.value - b.value
    down, up = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(difference, max(-1.0, difference - down), min(1.0, difference + up))


@cache
def student_t(freedom: int, share: float) -> float:
    """The t quantile below which lies `share` (above 1/2) of Student's distribution, for whole degrees of freedom.

    Bisection of Abramowitz and Stegun's finite series (1964, 26.7.3 and 26.7.4).
    """
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t / √freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 2 * share - 1 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """Student's probability of at most tan(angle)·√freedom in magnitude."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total


def compared(before: Evaluation, after: Evaluation) -> tuple[Evaluation, Evaluation]:
    """Both over the tasks that were verified in both: a task that is missing on one side would pass for a change. They
    stay as they are if they have no task in common."""
    common = before.domains[ALL].by_task.keys() & after.domains[ALL].by_task.keys()
    return (before.over(common), after.over(common)) if common else (before, after)


def changes(before: Evaluation, after: Evaluation, confidence: float = 0.95) -> dict[str, Estimate]:
    """`change` for every domain that both evaluations have, and `all`."""
    pairs = {d: (before.domains[d], after.domains[d]) for d in before.domains if d in after.domains}
    return {domain: change(*pair, confidence) for domain, pair in pairs.items()}


def fallen(before: Evaluation, after: Evaluation) -> list[str]:
    """Domains whose pass@1 fell beyond chance. Of many domains one falls below its own 95% interval by chance easily:
    each is given its part of the 5% (Bonferroni)."""
    domains = max(1, len(before.domains.keys() & after.domains.keys() - {ALL}))
    return [domain for domain, c in changes(before, after, 1 - 0.05 / domains).items() if c.high < 0]


def _result(by_task: ByTask, asked: int) -> DomainResult:
    total = TaskCounts(*map(sum, zip(*by_task.values())))
    return DomainResult(
        pass_at_1=rate([t.passed for t in by_task.values()], [t.samples for t in by_task.values()]),
        parseable=total.parseable / total.samples,
        truncated=total.truncated / total.samples,
        tokens_mean=total.tokens / total.samples,
        tasks=len(by_task),
        asked=asked,
        samples=total.samples,
        by_task=by_task,
    )
