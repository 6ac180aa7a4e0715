"""The table of a supervised run, from what its `summary.json` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from reprise.core.printable import printable
from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.layout import Fitted, Flow, listed
from reprise.launch.reporting.lookup import formatted, items, number
from reprise.launch.reporting.summary_table import Row, counted, head, shared_rows, warnings


def table(values: Mapping[str, object]) -> RenderableType:
    """Everything about a run. Whatever is missing in `values`, or is something else, is a dash."""
    forgotten = values.get("forgotten")
    return Group(
        Text(),
        *head(values),
        *_losses(values),
        _numbers(values),
        *(Text(printable(f"Forgotten: {t}"), "yellow") for t in (forgotten if isinstance(forgotten, list) else [])),
    )


def stages(values: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Those of the summary."""
    found = values.get("stages")
    return [stage for stage in (found if isinstance(found, list) else []) if isinstance(stage, Mapping)]


def held_out_losses(values: Mapping[str, object]) -> tuple[list[str], dict[str, list[str]]]:
    """Held-out losses by domain, and when each was measured: before, and at the end of each stage."""
    ends = [(f"after {stage.get('name')}", dict(items(stage.get("eval_loss")))) for stage in stages(values)]
    times = [("before", dict(items(values.get("eval_before")))), *(end for end in ends if end[1])]
    domains = dict.fromkeys(domain for _, by_domain in times for domain in by_domain)
    return [when for when, _ in times], {d: [loss(by_domain.get(d)) for _, by_domain in times] for d in domains}


def _losses(values: Mapping[str, object]) -> list[RenderableType]:
    times, losses = held_out_losses(values)
    if not losses:
        return []
    columns = (Column(Text(printable(when)), justify="right") for when in times)
    shown = Table("held-out loss, nats/token", *columns, box=box.SIMPLE_HEAD)
    for domain, of_domain in losses.items():
        shown.add_row(Text(printable(domain)), *of_domain)
    return [Fitted(shown)]


def _numbers(values: Mapping[str, object]) -> Table:
    time, nodes, failures = shared_rows(values)
    speed = formatted(number(values.get("tokens_per_second")), ",.0f")
    learning = f"{duration(number(values.get('learn_seconds')))} of learning"
    rows: list[Row] = [
        *((f"stage {printable(s.get('name'))}", Flow(_stage(s))) for s in stages(values)),
        time,
        ("throughput", Flow([f"{speed} tokens/s", learning])),
        nodes,
    ]
    if values.get("resumed_at") is not None:
        rows.append(("resumed", f"from the checkpoint of step {counted(values['resumed_at'])}"))
    return listed([*rows, failures, *warnings(values)])


def _stage(stage: Mapping[str, object]) -> Sequence[str]:
    return (
        f"{counted(stage.get('steps'))} steps",
        f"{counted(stage.get('tokens'))} tokens trained",
        f"loss {loss(stage.get('first_loss'))} → {loss(stage.get('last_loss'))}",
    )


def loss(value: object) -> str:
    """In nats a token, with four decimals."""
    return formatted(number(value), ".4f")
