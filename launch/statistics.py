"""pass@1 with honest error bars.

A rate is the mean over tasks of each task's share of passed samples. Its 95% interval is Wilson's score interval, whose
sample size is the number of tasks when each has one sample, and otherwise the *effective* one: the number of
independent samples that would have the variance seen between task means (samples of one task are not independent).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

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


@dataclass(frozen=True, slots=True)
class DomainResult:
    """What an evaluation says about one domain, or about all of them together.

    pass_at_1    unparseable counts as not passed
    parseable, truncated   shares of the samples
    task_means   each task's share of passed samples, by (domain, task id)
    """

    pass_at_1: Estimate
    parseable: float
    truncated: float
    tokens_mean: float
    tasks: int
    samples: int
    task_means: Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out results of one policy version: one entry a domain (sorted), and `all` over every task."""

    domains: Mapping[str, DomainResult]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `from_json`."""
        return {
            domain: asdict(r) | {"task_means": [[*key, mean] for key, mean in r.task_means.items()]}
            for domain, r in self.domains.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evaluation:
        """The evaluation that `to_json` wrote."""
        return cls(
            {
                domain: DomainResult(
                    **r
                    | {
                        "pass_at_1": Estimate(**r["pass_at_1"]),
                        "task_means": {(d, task): mean for d, task, mean in r["task_means"]},
                    }
                )
                for domain, r in values.items()
            }
        )

    @classmethod
    def of(cls, records: Iterable[EvalRecord]) -> Evaluation:
        """Sum up the records of one evaluation. Raises ValueError if there are none, or a domain is called `all`."""
        by_domain: dict[str, list[EvalRecord]] = defaultdict(list)
        for record in records:
            by_domain[record.domain].append(record)
        if not by_domain:
            raise ValueError("an evaluation needs at least one record")
        if ALL in by_domain:
            raise ValueError(f"no domain may be called {ALL!r}: that is the name of all of them together")
        results = {domain: _result(by_domain[domain]) for domain in sorted(by_domain)}
        return cls(results | {ALL: _result([r for group in by_domain.values() for r in group])})

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


def changes(before: Evaluation, after: Evaluation) -> dict[str, Estimate]:
    """`change` for every domain that both evaluations have, and `all`."""
    return {d: change(before.domains[d], after.domains[d]) for d in before.domains if d in after.domains}


def _result(records: Sequence[EvalRecord]) -> DomainResult:
    passed: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for record in records:
        passed[record.domain, record.task_id].append(record.passed and record.parseable)
    return DomainResult(
        pass_at_1=rate(list(passed.values())),
        parseable=float(np.mean([r.parseable for r in records])),
        truncated=float(np.mean([r.truncated for r in records])),
        tokens_mean=float(np.mean([r.tokens for r in records])),
        tasks=len(passed),
        samples=len(records),
        task_means={task: float(np.mean(samples)) for task, samples in passed.items()},
    )


def _correlation(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float]) -> float:
    if before.keys() != after.keys() or len(before) < 2:
        return 0.0
    x, y = (np.array([means[task] for task in before]) for means in (before, after))
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _joint(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))
