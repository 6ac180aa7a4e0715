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
    """Everything a person wants to know of a run. Whatever is missing in `values`, or is something else, is a dash."""
    forgotten = values.get("forgotten")
    return Group(
        Text(),
        *head(values),
        *losses(values),
        _numbers(values),
        *(Text(printable(f"Forgotten: {t}"), "yellow") for t in (forgotten if isinstance(forgotten, list) else [])),
    )


def stages(values: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Those of the summary."""
    found = values.get("stages")
    return [stage for stage in (found if isinstance(found, list) else []) if isinstance(stage, Mapping)]


def losses(values: Mapping[str, object]) -> list[RenderableType]:
    """Held-out loss: a row a domain, a column a stage; nothing if none was measured."""
    before = dict(items(values.get("eval_before")))
    ends = [(str(stage.get("name")), dict(items(stage.get("eval_loss")))) for stage in stages(values)]
    ends = [(name, by_domain) for name, by_domain in ends if by_domain]
    if not before and not ends:
        return []
    after = (Column(Text(printable(f"after {name}")), justify="right") for name, _ in ends)
    shown = Table("held-out loss, nats/token", Column("before", justify="right"), *after, box=box.SIMPLE_HEAD)
    for domain in dict.fromkeys([*before, *(d for _, by_domain in ends for d in by_domain)]):
        by_time = [before.get(domain), *(by_domain.get(domain) for _, by_domain in ends)]
        shown.add_row(Text(printable(domain)), *(_loss(value) for value in by_time))
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
        f"loss {_loss(stage.get('first_loss'))} → {_loss(stage.get('last_loss'))}",
    )


def _loss(value: object) -> str:
    return formatted(number(value), ".4f")
