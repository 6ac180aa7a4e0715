"""The report's plots: inline SVG whose colours are the page's own, so that they follow light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reprise.launch.reporting.report.sources import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib wants real colours; each stands for a CSS variable of the page and is replaced by it in the SVG.
_COLOURS = {"#010203": "--ink", "#010204": "--muted", "#010205": "--line"} | {
    f"#0102{0x10 + i:02x}": f"--c{i}" for i in range(1, 8)
}
INK, MUTED, LINE = list(_COLOURS)[:3]
PALETTE = list(_COLOURS)[3:]
_AVERAGED_FROM = 20  # steps; a shorter line is drawn as it is


@dataclass(frozen=True)
class Plot:
    """A card of the report.

    svg    the drawing without the opening `<svg`; None if the run reported nothing for it
    keys   (text, CSS variable)
    """

    title: str
    caption: str
    svg: Markup | None
    keys: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Line:
    """One series of a plot, with the name of its metric and its place in the palette."""

    label: str
    metric: str
    colour: int
    dashed: bool = False


def headline_plots(run: RunRecord) -> list[Plot]:
    """The two plots that say whether the policy learned."""
    return [_reward(run), _pass_at_1(run)]


def detail_plots(run: RunRecord) -> list[Plot]:
    """Everything that says why, or why not."""
    return [
        chart(run, "Response length", "Mean tokens of a response in the batch.",
               [Line("tokens", "tokens/response_mean", 0)], smooth=True),
        chart(run, "Entropy", "Nats a token. A fall towards zero is collapse: the policy has stopped exploring.",
               [Line("entropy", "policy/entropy", 1)], smooth=True),
        chart(run, "Mismatch and off-policy KL",
               "Nats a token, log scale. Mismatch: engine and learner disagree numerically about one policy. "
               "The off-policy KL adds staleness and reuse.",
               [Line("mismatch", "policy/mismatch_kl", 0), Line("off-policy", "policy/offpolicy_kl", 3)], log=True),
        chart(run, "Staleness", "Age of a batch in policy versions.",
               [Line("mean", "reuse/staleness_mean", 0), Line("max", "reuse/staleness_max", 3, dashed=True)], floor=0),
        chart(run, "Reuse", "Share of the batch's groups that had been trained on before.",
               [Line("reused", "reuse/fraction", 2)], percent=True, floor=0),
        chart(run, "Gradient norm", "Before clipping. Spikes that do not come back are the first sign of trouble.",
               [Line("gradient norm", "optim/grad_norm", 4)], floor=0),
        chart(run, "Clipping", "Shares of tokens: ratio clipped below or above, correction cut at the importance cap.",
               [Line("low", "policy/clip_low", 0), Line("high", "policy/clip_high", 3),
                Line("importance cap", "policy/is_truncated", 2)], percent=True, floor=0),
        chart(run, "Largest importance ratio", "Of any trained token: current policy over proximal policy.",
               [Line("ratio", "policy/ratio_max", 1)], floor=0),
        _time(run),
        chart(run, "Idle shares", "Part of each step in which the learner waited for a batch or engines had no work.",
               [Line("learner", "time/learner_idle", 0), Line("engines", "time/engine_idle", 3)],
               percent=True, floor=0),
        chart(run, "Throughput", "Response tokens sampled a second, all engines together.",
               [Line("tokens/s", "throughput/tokens_per_second", 2)], smooth=True, floor=0),
        chart(run, "Left out", "A step: groups whose scores were all the same, masked and cut-off trajectories.",
               [Line("groups without variance", "groups/zero_variance", 0),
                Line("unparseable", "trajectories/unparseable", 3),
                Line("truncated", "trajectories/truncated", 2),
                Line("infra error", "trajectories/infra_error", 6)], floor=0),
    ]  # fmt: skip


def verifying_plots(run: RunRecord) -> list[Plot]:
    """How readable answers are, and how long the verifiers take."""
    domains = run.domains("unparseable/", "")
    verifiers = run.domains("verify/seconds_p50/", "")
    times = []
    for i, name in enumerate(verifiers):
        times += [
            Line(name, f"verify/seconds_p50/{name}", i % len(PALETTE)),
            Line(f"{name}, 95%", f"verify/seconds_p95/{name}", i % len(PALETTE), dashed=True),
        ]
    return [
        chart(run, "Unparseable answers", "Share of each domain's answers that could not be found or read.",
               [Line(domain, f"unparseable/{domain}", i % len(PALETTE)) for i, domain in enumerate(domains)],
               smooth=True, percent=True, floor=0),
        chart(run, "Verifier latency", "Seconds a group, without its wait in the queue: median and 95th percentile.",
               times, floor=0),
    ] if domains or verifiers else []  # fmt: skip


def moving_average(values: Sequence[float], width: int) -> list[float]:
    """Mean of the last `width` values at each place, over those that are numbers; NaN where none is."""
    means = []
    for end in range(1, len(values) + 1):
        window = [v for v in values[max(0, end - width) : end] if math.isfinite(v)]
        means.append(sum(window) / len(window) if window else math.nan)
    return means


def _reward(run: RunRecord) -> Plot:
    domains = run.domains("reward/", "mean")
    lines = [Line("mean", "reward/mean", -1)]
    lines += [Line(domain, f"reward/{domain}", i % len(PALETTE)) for i, domain in enumerate(domains)]
    caption = f"Mean score of all answers verified.{smoothing(run, lines)}"
    return chart(run, "Training reward", caption, lines, smooth=True, wide=True)


def smoothing(run: RunRecord, lines: Sequence[Line]) -> str:
    """What to say of averages, if any of these lines is long enough to be drawn with one."""
    averaged = any(len(run.series(line.metric)[1]) >= _AVERAGED_FROM for line in lines)
    return " Bold lines are averages over the last steps, faint ones the steps." if averaged else ""


def _pass_at_1(run: RunRecord) -> Plot:
    title = "Held-out pass@1"
    caption = "Sampled at the training temperature on tasks never trained on, the same at every point; 95% intervals."
    domains = run.domains("eval/pass_at_1/", "all")
    lines = [Line("all", "eval/pass_at_1/all", -1)]
    lines += [Line(domain, f"eval/pass_at_1/{domain}", i % len(PALETTE)) for i, domain in enumerate(domains)]
    lines = [line for line in lines if _reported(run, line.metric)]
    if not lines:
        return Plot(title, caption, None)

    def draw(axes: Axes) -> None:
        for place, line in enumerate(lines):
            steps, values = run.series(line.metric)
            low, high = (run.series(line.metric.replace("pass_at_1", f"pass_at_1_{e}"))[1] for e in ("low", "high"))
            colour, strong = _colour(line), line.colour < 0
            beside = 0 if strong else 0.006 * max(1, *steps) * (place - len(lines) / 2)  # no interval hides another
            at = [step + beside for step in steps]
            axes.plot(at, values, color=colour, lw=2.2 if strong else 1.4, marker="o", ms=4 if strong else 3)
            if not len(low) == len(high) == len(steps):
                continue
            if strong:
                axes.fill_between(steps, low, high, color=colour, alpha=0.14, lw=0)
            else:
                axes.vlines(at, low, high, color=colour, lw=1.1, alpha=0.7)
        axes.yaxis.set_major_formatter(_percent)

    return Plot(title, caption, _svg(draw, wide=True), _keys(lines))


def _time(run: RunRecord) -> Plot:
    title = "Time of a step"
    caption = "Seconds. Areas: the learner's step (other: evaluation and the rest). Dashed: a group's way, beside it."
    steps, total = run.series("time/step")
    if not _reported(run, "time/step"):
        return Plot(title, caption, None)
    at = {name: dict(zip(*run.series(name))) for name in ("time/learn", "time/publish", "time/learner_idle")}
    learn, publish, idle = ([_or_zero(at[name].get(step)) for step in steps] for name in at)
    total = [_or_zero(t) for t in total]
    waiting = [share * t for share, t in zip(idle, total)]
    rest = [max(0.0, t - sum(parts)) for t, *parts in zip(total, learn, publish, waiting)]
    areas = [("learn", learn, 0), ("publish", publish, 3), ("waiting", waiting, 1), ("other", rest, 6)]
    beside = [Line("generate", "time/generate", 2, dashed=True), Line("verify", "time/verify", 4, dashed=True)]
    beside = [line for line in beside if _reported(run, line.metric)]

    def draw(axes: Axes) -> None:
        edges = [step + side for step in steps for side in (-0.5, 0.5)]  # each step a full bar, also if it is alone
        heights = [[value for value in values for _ in range(2)] for _, values, _ in areas]
        axes.stackplot(edges, *heights, colors=[PALETTE[c] for _, _, c in areas], alpha=0.75, lw=0)
        for line in beside:
            axes.plot(*run.series(line.metric), color=_colour(line), lw=1.2, ls=(0, (4, 2)))
        axes.set_ylim(bottom=0)

    keys = [(label, _COLOURS[PALETTE[c]]) for label, _, c in areas]
    return Plot(title, caption, _svg(draw), keys + _keys(beside))


def chart(
    run: RunRecord,
    title: str,
    caption: str,
    lines: Sequence[Line],
    *,
    smooth: bool = False,
    log: bool = False,
    percent: bool = False,
    floor: float | None = None,
    wide: bool = False,
) -> Plot:
    """Lines over the steps; `smooth` adds an average over the last ones, `floor` is the axis's lower end."""
    shown = [line for line in lines if _reported(run, line.metric, positive=log)]
    if not shown:
        return Plot(title, caption, None)

    def draw(axes: Axes) -> None:
        for line in shown:
            steps, values = run.series(line.metric)
            if log:
                values = [v if v > 0 else math.nan for v in values]
            colour, width = _colour(line), 2.2 if line.colour < 0 else 1.6
            mark = "o" if sum(map(math.isfinite, values)) < 3 else None
            if smooth and len(values) >= _AVERAGED_FROM:
                axes.plot(steps, values, color=colour, lw=0.7, alpha=0.3)
                values = moving_average(values, max(5, len(values) // 20))
            axes.plot(steps, values, color=colour, lw=width, ls="--" if line.dashed else "-", marker=mark, ms=4)
        if log:
            axes.set_yscale("log")
        if percent:
            axes.yaxis.set_major_formatter(_percent)
        if floor is not None:
            axes.set_ylim(bottom=floor)

    return Plot(title, caption, _svg(draw, wide), _keys(shown) if len(lines) > 1 else ())


def _svg(draw: Callable[[Axes], None], wide: bool = False) -> Markup:
    """Draw on a fresh figure. The drawing can be inlined: it has no document head, no URL, colours as CSS variables."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.9, 2.9) if wide else (4.6, 2.25), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    draw(axes)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, colors=MUTED, labelsize=9.5 if wide else 8.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.margins(x=0.02)
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "reprise"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(text.getvalue())


def _inline(document: str) -> Markup:
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # `figure_1` and the like would repeat on the page
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<svg width="[^"]*" height="[^"]*"|<svg height="[^"]*" width="[^"]*"', "<svg", svg, count=1)
    svg = re.sub(r"font-family:[^;\"]*;?|font: ([\d.]+px)[^;\"]*", lambda m: f"font-size: {m[1]}" if m[1] else "", svg)
    svg = re.sub(r"#0102[01][0-9a-f]", lambda m: f"var({_COLOURS[m[0]]})", svg)
    return Markup(svg.removeprefix("<svg"))


def _percent(value: float, _: object) -> str:
    return f"{100 * value:.3g}%"


def _or_zero(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0


def _reported(run: RunRecord, metric: str, positive: bool = False) -> bool:
    return any(math.isfinite(v) and (v > 0 or not positive) for v in run.series(metric)[1])


def _colour(line: Line) -> str:
    return INK if line.colour < 0 else PALETTE[line.colour]


def _keys(lines: Sequence[Line]) -> list[tuple[str, str]]:
    return [(line.label, _COLOURS[_colour(line)]) for line in lines]
