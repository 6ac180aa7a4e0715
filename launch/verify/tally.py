"""What came of a file of answers, counted by domain, and the table of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text

from reprise.core.printable import printable
from reprise.core.types import Status
from reprise.launch.verify.verdicts import Recorded


@dataclass(slots=True)
class Count:
    """The verdicts of one domain."""

    statuses: Counter[Status] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    score_sum: float = 0.0

    def add(self, verdict: Recorded) -> None:
        self.statuses[verdict.status] += 1
        self.reasons[verdict.reason] += 1
        self.score_sum += verdict.score or 0.0

    @property
    def mean_score(self) -> float | None:
        """Over the scored; None if there are none."""
        scored = self.statuses[Status.SCORED]
        return self.score_sum / scored if scored else None


class Tally:
    """Verdicts counted by domain, and all together."""

    def __init__(self) -> None:
        self.domains: dict[str, Count] = {}
        self.all = Count()

    def add(self, domain: str, verdict: Recorded) -> None:
        self.domains.setdefault(domain, Count()).add(verdict)
        self.all.add(verdict)

    @property
    def total(self) -> int:
        return self.all.statuses.total()


def verdict_table(tally: Tally) -> Table:
    """One row a domain, and one for all if there are several."""
    table = _table("domain", "answers", "scored", "mean score", "unparseable", "infra_error")
    table.add_column("reasons", ratio=1)
    rows = sorted(tally.domains.items())
    for name, count in [*rows, *([("all", tally.all)] if len(rows) > 1 else [])]:
        mean = "–" if count.mean_score is None else f"{count.mean_score:.3f}"
        reasons = "  ".join(f"{reason}\N{NO-BREAK SPACE}{n:,}" for reason, n in count.reasons.most_common())
        total = count.statuses.total()
        table.add_row(
            Text(printable(name)),
            f"{total:,}",
            *(_share(count.statuses[Status.SCORED], total), mean),
            *(_share(count.statuses[status], total) for status in (Status.UNPARSEABLE, Status.INFRA_ERROR)),
            Text(printable(reasons)),
            style="bold" if count is tally.all else None,
        )
    return table


def plan_table(counts: Mapping[tuple[str, str], int]) -> Table:
    """Answers by (domain, verifier), for `--dry-run`."""
    table = _table("domain", "verifier", "answers")
    for (domain, verifier), n in sorted(counts.items()):
        table.add_row(Text(printable(domain)), Text(verifier), f"{n:,}")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(first, box=box.SIMPLE_HEAD, pad_edge=False)
    for name in others:
        table.add_column(name, justify="left" if name == "verifier" else "right", no_wrap=True)
    return table


def _share(n: int, total: int) -> str:
    return f"{n:,} ({n / total:.0%})" if n else "0"
