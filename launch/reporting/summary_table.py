"""The table of an RL run, from what its `summary.json` holds: the same at its end and whenever it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from reprise.core.printable import printable, printable_lines, quantity
from reprise.core.types import Status
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.layout import Fitted, Flow, listed
from reprise.launch.reporting.lookup import formatted, items, lookup, number

_INFRA_ERRORS_SHOWN = 3  # with their tracebacks; summary.json has all
_STYLES = {"finished": "bold green", "running": "bold cyan"}
_INTERVAL = "95% interval"
Row = tuple[str, RenderableType]


def table(values: Mapping[str, object]) -> RenderableType:
    """Everything about a run. Whatever is missing in `values`, or is something else, is a dash."""
    return Group(Text(), *head(values), _evaluation(values), _numbers(values))


def head(values: Mapping[str, object]) -> list[Text]:
    """How far the run came, and why no further."""
    status = printable(values.get("status", ""))
    first = Text(f"{printable(values.get('name', ''))}: {status}", _STYLES.get(status, "bold red"))
    after = "at" if status == "running" else "after"
    steps, took = counted(values.get("steps")), duration(number(values.get("wall_seconds")))
    first.append(f" {after} {steps} step{'s' * (steps != '1')}, {took}", "none")
    reason = values.get("reason")
    return [first, *([Text(printable_lines(reason), "red")] if reason else [])]


class DomainRow:
    """What the evaluations before and after say of a domain: their numbers, NaN where nothing was measured."""

    def __init__(self, values: Mapping[str, object], domain: str) -> None:
        rates, intervals, results = (
            [lookup(values, name, when, domain) for when in ("before", "after")]
            for name in ("pass_at_1", "pass_at_1_interval", "evaluation")
        )
        self.domain, self.tasks = domain, tasks(results[0])
        self.rates, self.intervals = [number(rate) for rate in rates], [_ends(interval) for interval in intervals]
        self.change = [number(lookup(values, "pass_at_1_change", domain, end)) for end in ("value", "low", "high")]
        self.parseable = [number(lookup(result, "parseable")) for result in results]


def domain_rows(values: Mapping[str, object]) -> list[DomainRow]:
    """A row for each domain that was evaluated before training, and for all of them together."""
    return [DomainRow(values, domain) for domain, _ in items(lookup(values, "pass_at_1", "before"))]


class _Row:
    """A `DomainRow` as text."""

    def __init__(self, row: DomainRow, fallen: object) -> None:
        self.domain, self.tasks = printable(row.domain), row.tasks
        fell = isinstance(fallen, list) and row.domain in fallen
        self.style = "bold" if row.domain == "all" else "red" if fell else ""
        self.rates = [formatted(rate, ".3f") for rate in row.rates]
        self.intervals = [_interval(ends) for ends in row.intervals]
        self.change = points(row.change[0])
        low, high = row.change[1:]
        self.change_interval = f"{points(low)} … {points(high)}" if math.isfinite(low) else ""
        self.parseable = [formatted(share, ".1%") for share in row.parseable]


def _evaluation(values: Mapping[str, object]) -> RenderableType:
    rows = [_Row(row, values.get("fallen")) for row in domain_rows(values)]
    if not rows:
        return Text("held-out pass@1 was not measured", "dim")
    wide = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    wide.add_column("held-out pass@1")
    for name in ("before", _INTERVAL, "after", _INTERVAL, "change", _INTERVAL, "parseable", "tasks"):
        wide.add_column(name, justify="right", style="dim" if name == _INTERVAL else None)
    for row in rows:
        rates = [text for pair in zip(row.rates, row.intervals) for text in pair]
        parseable = " → ".join(text for text in row.parseable if text != "–") or "–"
        wide.add_row(Text(row.domain), *rates, row.change, row.change_interval, parseable, row.tasks, style=row.style)
    return Fitted(wide, _Narrow(rows))


class _Narrow:
    """The same on three lines a domain: 60 columns, whatever its name; a long one has a line for itself."""

    def __init__(self, rows: list[_Row]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tasks = max(5, *(cell_len(row.tasks) for row in self._rows))
        name = max(14, min(max(cell_len(row.domain) for row in self._rows), options.max_width - 41 - tasks))
        lines = list(self._lines(name))
        rule = Text("─" * min(name + 41 + tasks, options.max_width), "dim")
        yield Text()
        for line, (first, before, after, change, last, style) in enumerate(lines):
            if cell_len(first) > name:
                yield Text(first, style)
                first = ""
            first += " " * (name - cell_len(first))
            yield Text(f"{first} {before:>10} {after:>10} {change:>16}  {last:>{tasks}}".rstrip(), style)
            if line == 0:
                yield rule
        yield Text()

    def _lines(self, name: int) -> Iterator[tuple[str, str, str, str, str, str]]:
        yield "pass@1", "before", "after", "change", "tasks", "dim"
        for row in self._rows:
            yield row.domain, row.rates[0], row.rates[1], row.change, row.tasks, row.style
            yield f"  {_INTERVAL}", row.intervals[0], row.intervals[1], row.change_interval, "", "dim"
            yield "  parseable", row.parseable[0], row.parseable[1], "", "", "dim"


def _numbers(values: Mapping[str, object]) -> Table:
    idle = (formatted(number(values.get(f"{who}_idle")), ".0%") for who in ("learner", "engine"))
    mismatch = formatted(number(values.get("mismatch_start")), ".1e")
    time, nodes, failures = shared_rows(values)
    rows: list[Row] = [
        time,
        (
            "RL",
            Flow(
                (
                    f"learning {duration(number(values.get('learn_seconds')))}",
                    f"overlap {formatted(number(values.get('overlap')), '.0%')}",
                    f"learner idle {next(idle)}",
                    f"engine idle {next(idle)}",
                    f"{formatted(number(values.get('tokens_per_second')), ',.0f')} tokens/s",
                )
            ),
        ),
        *_tasks(values.get("tasks")),
        *_trajectories(values.get("trajectories")),
        ("unparseable", _flow(f"{printable(d)} {unparseable(c)}" for d, c in items(values.get("answers")))),
        ("verifiers", _flow(f"{printable(n)} {latency(t)}" for n, t in items(values.get("verifiers")))),
        ("mismatch", mismatch if mismatch == "–" else f"{mismatch} nats/token at start"),
        nodes,
        failures,
        *_infra_errors(values),
    ]
    return listed([*rows, *warnings(values)])


def _tasks(counts: object) -> Iterator[Row]:
    n = {name: counted(value) for name, value in items(counts)}
    if n:
        parts = [f"{n.get('train', '–')} to train on", f"{n.get('held_out', '–')} held out"]
        if number(lookup(counts, "excluded")) > 0:
            parts.append(f"{n['excluded']} left out of training: they are held out")
        yield "tasks", Flow(parts)


def _trajectories(counts: object) -> Iterator[Row]:
    n = {name: number(value) for name, value in items(counts)}
    shown = {name: counted(value) for name, value in n.items()}
    reused = _share_of(n, "reused", "trained")
    parts = [f"{shown.get('sampled', '–')} sampled", f"{shown.get('trained', '–')} trained, {reused} of them reused"]
    yield "trajectories", Flow(parts)
    names = {"zero_variance": "without variance", "unparseable": "unparseable", "infra_error": "infra errors"}
    if n.get("invalid_logprobs"):
        names["invalid_logprobs"] = "with invalid log-probabilities"
    yield "left out", Flow(f"{shown.get(name, '–')} {words}" for name, words in names.items())
    yield "truncated", f"{shown.get('truncated', '–')}, {_share_of(n, 'truncated', 'sampled')} of those sampled"


def _share_of(counts: Mapping[str, float], some: str, whole: str) -> str:
    return formatted(counts.get(some, math.nan) / (counts.get(whole, math.nan) or 1.0), ".0%")


def cost_of(infra_error: object) -> str:
    """`2 answers`, or that verifying again helped."""
    answers = number(lookup(infra_error, "answers"))
    if answers == 0:
        return "verifying again helped"
    return quantity(answers, "answer") if answers > 0 else "some answers"


def _infra_errors(values: Mapping[str, object]) -> Iterator[Row]:
    listed_ones = values.get("infra_errors")
    errors = listed_ones if isinstance(listed_ones, list) else []
    for place, error in enumerate(errors):
        what, trace = (printable_lines(lookup(error, name) or "") for name in ("what", "traceback"))
        said = Text(f"{cost_of(error)}: {what}", "red")
        if trace and place < _INFRA_ERRORS_SHOWN:
            said.append(f"\n{trace}", "dim")
        yield "infra error", said
    lost = number(lookup(values, "failures", "trajectories/infra_error"))
    others = lost - sum(number(lookup(error, "answers")) for error in errors)
    if others > 0:
        yield "infra error", f"{quantity(others, 'answer')}: of further kinds, which are not listed"


def warnings(values: Mapping[str, object]) -> list[Row]:
    """A row for each warning."""
    found = values.get("warnings")
    said = found if isinstance(found, list) else []
    return [("warning", Text(printable_lines(text), "yellow")) for text in said]


def tasks(result: object) -> str:
    """How many tasks a score is over, and of how many, if some could not be verified."""
    verified, asked = (number(lookup(result, name)) for name in ("tasks", "asked"))
    return counted(verified) + (f" of {counted(asked)}" if asked > verified else "")


def points(share: float) -> str:
    """A difference of shares in percentage points: `+27.3`."""
    return formatted(100 * share, "+.1f")


def latency(times: object) -> str:
    """`0.12 s a group (95%: 2 s)`"""
    p50, p95 = (formatted(number(lookup(times, name)), ".2g") for name in ("p50", "p95"))
    return f"{p50} s a group (95%: {p95} s)"


def shared_rows(values: Mapping[str, object]) -> tuple[Row, Row, Row]:
    """How long each phase took, how many actors each node has, and what went wrong."""
    failed = ["the run itself"] if values.get("status") == "failed" else []
    counts = items(values.get("failures"))
    return (
        ("time", _flow(f"{printable(name)} {duration(number(s))}" for name, s in items(values.get("phases")))),
        ("nodes", _flow(f"{printable(node)}: {_actors(actors)}" for node, actors in items(values.get("nodes")))),
        ("failures", _flow([*(f"{printable(n)} {counted(c)}" for n, c in counts if c), *failed], "none")),
    )


def _flow(parts: Iterable[str], nothing: str = "–") -> RenderableType:
    shown = list(parts)
    return Flow(shown) if shown else nothing


def _actors(actors: object) -> str:
    count = len(actors) if isinstance(actors, list) else 0
    return f"{count} actor{'s' * (count != 1)}"


def _ends(value: object) -> tuple[float, float]:
    low, high = value if isinstance(value, list) and len(value) == 2 else (None, None)
    return number(low), number(high)


def _interval(ends: tuple[float, float]) -> str:
    shown = [formatted(end, ".2f") for end in ends]
    return "" if "–" in shown else "–".join(shown)


def unparseable(counts: object) -> str:
    """The share of answers that could not be read, of their counts by status."""
    total = sum(number(count) for _, count in items(counts))
    return formatted(number(lookup(counts, Status.UNPARSEABLE) or 0) / total if total > 0 else math.nan, ".1%")


def counted(value: object) -> str:
    """A whole number."""
    return formatted(number(value), ",.0f")
