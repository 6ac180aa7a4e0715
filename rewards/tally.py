"""What became of the answers of each domain: what a training step reports of them, and the run's totals."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from reprise.core.types import Status, Verdict

_WORD = re.compile(r"[a-z0-9_]{1,40}")


class Tally:
    """Takes verdicts as they come; `metrics` are of those since it was last asked, `totals` of all."""

    def __init__(self) -> None:
        self._scores: dict[str, list[float]] = {}
        self._statuses: dict[str, Counter[str]] = defaultdict(Counter)
        self._reasons: Counter[str] = Counter()
        self._totals: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, domain: str, verdicts: Iterable[Verdict]) -> None:
        """The verdicts on some answers of one domain. One that scores 0 for being unparseable counts as unparseable."""
        scores = self._scores.setdefault(domain, [])
        for verdict in verdicts:
            if verdict.score is not None:
                scores.append(verdict.score)
            status = Status.UNPARSEABLE if verdict.was_unparseable else verdict.status
            self._statuses[domain][status] += 1
            self._totals[domain][status] += 1
            # A verifier of somebody else's may say anything; a metric's name is a word.
            self._reasons[verdict.reason if _WORD.fullmatch(verdict.reason) else "other"] += 1

    def metrics(self) -> dict[str, float]:
        """Mean raw score overall and by domain, of all that was scored: the buffer rejects groups without variance, and
        a mean over the others would hide both failure and success. Shares of answers by domain; counts by reason."""
        everything = [score for scores in self._scores.values() for score in scores]
        metrics = {"reward/mean": _mean(everything)}
        for domain, scores in sorted(self._scores.items()):
            counts = self._statuses[domain]
            metrics[f"reward/{domain}"] = _mean(scores)
            metrics[f"unparseable/{domain}"] = counts[Status.UNPARSEABLE] / (counts.total() or float("nan"))
            metrics[f"infra_error/{domain}"] = counts[Status.INFRA_ERROR] / (counts.total() or float("nan"))
        metrics |= {f"verify/reason/{reason}": count for reason, count in sorted(self._reasons.items())}
        self._scores, self._statuses, self._reasons = {}, defaultdict(Counter), Counter()
        return metrics

    def totals(self) -> dict[str, dict[str, int]]:
        """Answers since the start, by domain and status."""
        return {domain: {str(s): counts[s] for s in Status} for domain, counts in sorted(self._totals.items())}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
