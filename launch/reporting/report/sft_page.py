"""The report of a supervised run."""

from __future__ import annotations

import math

from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.lookup import formatted, items, number
from reprise.launch.reporting.report.page import document, escaped, facts_table, head, notices, plots_section, recipe
from reprise.launch.reporting.report.plots import PALETTE, Line, Plot, chart, smoothing
from reprise.launch.reporting.report.sources import RunRecord
from reprise.launch.reporting.sft_summary_table import stages


def sft_page(run: RunRecord) -> str:
    """The whole page."""
    body = "".join(
        (
            head(run, "Supervised fine-tuning"),
            notices(run, "Forgotten between stages", "forgotten"),
            _losses(run),
            plots_section(headline_plots(run), detail_plots(run)),
            _facts(run),
            recipe(run),
        )
    )
    return document(run, body)


def headline_plots(run: RunRecord) -> list[Plot]:
    """Whether it learns, and whether it forgets."""
    domains = run.domains("eval/loss/", "")
    loss = [Line("loss", "loss/train", 0)]
    return [
        chart(run, "Training loss", f"Nats a token, before each step.{smoothing(run, loss)}",
                   loss, smooth=True, wide=True),
        chart(run, "Held-out loss by domain", "Nats a token. A line that rises is a domain being forgotten.",
                   [Line(d, f"eval/loss/{d}", i % len(PALETTE)) for i, d in enumerate(domains)], wide=True),
    ]  # fmt: skip


def detail_plots(run: RunRecord) -> list[Plot]:
    """Everything that says why, or why not."""
    sources = run.domains("data/share/", "")
    return [
        chart(run, "Mixture", "Share of the draws by source.",
                   [Line(s, f"data/share/{s}", i % len(PALETTE)) for i, s in enumerate(sources)],
                   percent=True, floor=0),
        chart(run, "Learning rate", "Of each step.", [Line("lr", "optim/lr", 1)], floor=0),
        chart(run, "Gradient norm", "Before clipping.", [Line("gradient norm", "optim/grad_norm", 4)], floor=0),
        chart(run, "Context", "Longest conversation a step may have, tokens.",
                   [Line("context", "data/context", 2)], floor=0),
        chart(run, "Throughput", "Tokens read a second.",
                   [Line("tokens/s", "throughput/tokens_per_second", 2)], smooth=True, floor=0),
        chart(run, "Packing", "Padding, and the most loaded data-parallel rank over the mean.",
                   [Line("padding", "packing/padding", 0), Line("imbalance", "packing/imbalance", 3)],
                   percent=True, floor=0),
    ]  # fmt: skip


def _losses(run: RunRecord) -> str:
    before = dict(items(run.summary.get("eval_before")))
    ends = [(stage.get("name"), dict(items(stage.get("eval_loss")))) for stage in stages(run.summary)]
    ends = [(name, losses) for name, losses in ends if losses]
    if not before and not ends:
        return f'<h2>Held-out loss</h2><p class="muted">Not measured{" yet" if run.running else ""}.</p>'
    header = "".join(f"<th>after {escaped(name)}</th>" for name, _ in ends)
    rows = []
    for domain in dict.fromkeys([*before, *(d for _, losses in ends for d in losses)]):
        values = [number(before.get(domain)), *(number(losses.get(domain)) for _, losses in ends)]
        cells = "".join(f"<td>{formatted(value, '.4f')}</td>" for value in values)
        rows.append(f"<tr><td>{escaped(domain)}</td>{cells}</tr>")
    return (
        '<h2>Held-out loss <small class="muted">nats a token</small></h2><div class="card"><table>'
        f"<tr><th>domain</th><th>before</th>{header}</tr>{''.join(rows)}</table></div>\n"
    )


def _facts(run: RunRecord) -> str:
    s = run.summary
    failures = {name: value for name, value in items(s.get("failures")) if value}
    facts = {
        f"stage {stage.get('name')}": f"{stage.get('steps')} steps · {formatted(number(stage.get('tokens')), ',.0f')} "
        f"tokens trained · loss {formatted(number(stage.get('first_loss')), '.4f')} → "
        f"{formatted(number(stage.get('last_loss')), '.4f')}"
        for stage in stages(s)
    }
    speed = number(s.get("tokens_per_second"))
    facts |= {
        "throughput": f"{speed:,.0f} tokens a second" if math.isfinite(speed) else "",
        "time": " · ".join(f"{name} {duration(number(v))}" for name, v in items(s.get("phases"))),
        "nodes": " · ".join(
            f"{node}: {', '.join(map(str, actors)) if isinstance(actors, list) else actors}"
            for node, actors in items(s.get("nodes"))
        ),
        "resumed": f"from step {s['resumed_at']}" if s.get("resumed_at") is not None else "",
        "failures": " · ".join(f"{name} {value}" for name, value in failures.items()) or "none counted",
    }
    return facts_table(facts) if s else ""
