"""The plots of a supervised run."""

from __future__ import annotations

from reprise.launch.reporting.report.plots import PALETTE, Line, Plot, chart, smoothing
from reprise.launch.reporting.report.sources import RunRecord


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
