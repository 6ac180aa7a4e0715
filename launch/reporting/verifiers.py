"""What a run reports of its verifiers: how long they take, and whether answers stay readable."""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np

WINDOW = 5  # steps over which a share is averaged
LEAST = 3  # steps before it means anything


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that a verifier took for one group: median and 95th percentile; and the mean of the wait before that."""

    groups: int
    p50: float
    p95: float
    queue: float


class Latencies:
    """The latency of each verifier, since the last step and over the whole run."""

    def __init__(self) -> None:
        self._seconds: dict[str, array[float]] = defaultdict(lambda: array("f"))  # 4 bytes a group: kept for the run
        self._queue: dict[str, array[float]] = defaultdict(lambda: array("f"))
        self._reported: Counter[str] = Counter()

    def add(self, verifier: str, seconds: float, queue_seconds: float) -> None:
        """A group was verified."""
        self._seconds[verifier].append(seconds)
        self._queue[verifier].append(queue_seconds)

    def metrics(self) -> dict[str, float]:
        """Of the groups since the last call, named as in launch/reporting/metrics.py; nothing where there were none."""
        metrics = {}
        for verifier in sorted(self._seconds):
            latency = self._latency(verifier, self._reported[verifier])
            self._reported[verifier] = len(self._seconds[verifier])
            if latency.groups:
                metrics[f"verify/seconds_p50/{verifier}"] = latency.p50
                metrics[f"verify/seconds_p95/{verifier}"] = latency.p95
                metrics[f"verify/queue_seconds/{verifier}"] = latency.queue
        return metrics

    def totals(self) -> dict[str, Latency]:
        """Of all groups, by verifier."""
        return {verifier: self._latency(verifier, 0) for verifier in sorted(self._seconds)}

    def _latency(self, verifier: str, first: int) -> Latency:
        seconds, queue = self._seconds[verifier][first:], self._queue[verifier][first:]
        if not seconds:
            return Latency(0, math.nan, math.nan, math.nan)
        p50, p95 = np.percentile(seconds, [50, 95]).tolist()
        return Latency(len(seconds), p50, p95, sum(queue) / len(queue))


class ShareWatch:
    """Warns once when a share of a domain's answers, averaged over the last steps, rises above a bound.

    What is not verified is outside the loss, so nothing keeps a policy from becoming unreadable, or a verifier from
    failing on answers of one kind, but somebody who looks.

    prefix  which metrics, by domain, are the shares
    bound   that of the recipe's key, which `advice` names
    what    of the answers
    """

    def __init__(self, prefix: str, bound: float, what: str, advice: str) -> None:
        self._prefix, self._bound, self._what, self._advice = prefix, bound, what, advice
        self._steps: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self._above: set[str] = set()
        self._warned: set[str] = set()

    def step(self, metrics: Mapping[str, SupportsFloat]) -> list[str]:
        """The warnings that the metrics of one more step give rise to."""
        warnings = []
        for domain, part, whole in self._parts(metrics):
            if not math.isfinite(part + whole):
                continue
            steps = self._steps[domain]
            steps.append((part, whole))
            parts, wholes = map(sum, zip(*steps))
            share = parts / wholes if wholes else 0.0
            if share <= self._bound:
                self._above.discard(domain)
            elif len(steps) >= LEAST and domain not in self._above:
                self._above.add(domain)
                self._warned.add(domain)
                warnings.append(self._warning(domain, share, f"of the last {len(steps)} steps"))
        return warnings

    def _parts(self, metrics: Mapping[str, SupportsFloat]) -> Iterator[tuple[str, float, float]]:
        """Of each domain two numbers whose quotient is the share of this step."""
        for name, share in metrics.items():
            prefix, _, domain = name.partition("/")
            if prefix == self._prefix:
                yield domain, float(share), 1.0

    def total(self, answers: Mapping[str, Mapping[str, int]]) -> list[str]:
        """The warnings of a whole run, by its answers by domain and status, for domains of which there was none yet:
        it may have been too short for its steps to show it, or have had none."""
        warnings = []
        for domain, counts in answers.items():
            share = counts.get(self._prefix, 0) / (sum(counts.values()) or math.nan)
            if share > self._bound and domain not in self._warned:
                warnings.append(self._warning(domain, share, "of the run"))
        return warnings

    def _warning(self, domain: str, share: float, when: str) -> str:
        return f"{domain}: {share:.0%} of the answers {when} {self._what}, more than {self._advice}"


def unparseable_watch(bound: float) -> ShareWatch:
    """Answers that cannot be found or read; `bound` is `rewards.unparseable_warning`."""
    return ShareWatch(
        "unparseable",
        bound,
        "were unparseable",
        f"rewards.unparseable_warning {bound:g}; see what the policy writes, and in which form the verifier looks for "
        "an answer (rewards.unparseable: score_zero_if_complete makes an unreadable answer cost, unless the token "
        "limit cut it off)",
    )


def infra_error_watch(bound: float) -> ShareWatch:
    """Answers that could not be verified; `bound` is `rewards.infra_error_warning`."""
    return ShareWatch(
        "infra_error",
        bound,
        "could not be verified (infra_error)",
        f"rewards.infra_error_warning {bound:g}: they are lost to training, and bias it if the verifier fails on one "
        "kind of answer; summary.json says under infra_errors what it failed with",
    )
