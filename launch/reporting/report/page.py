"""The report as HTML. Every text that comes from a run goes through `escaped`."""

from __future__ import annotations

import html
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.lookup import formatted, items, lookup, number
from reprise.launch.reporting.report.plots import Plot, detail_plots, headline_plots, judging_plots
from reprise.launch.reporting.report.sources import RunRecord
from reprise.launch.reporting.report.style import STYLE

SAMPLES_PER_DOMAIN = 3
CHARACTERS_PER_RESPONSE = 20_000
_BADGES = {"finished": "good", "failed": "bad"}


def page(run: RunRecord) -> str:
    """The whole page."""
    first = head(run, "Reinforcement learning with verifiable rewards")
    fallen = notices(run, "Fell beyond the 95% interval", "fallen")
    sections = (_tiles, _evaluation, _plots, _samples, _facts, recipe)
    return document(run, first + fallen + "".join(section(run) for section in sections))


def document(run: RunRecord, body: str) -> str:
    """A page around its sections."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(run.name)} · reprise</title><style>{STYLE}</style></head>\n"
        f"<body><main>{body}<footer>Made by reprise from the files beside this page.</footer></main></body></html>\n"
    )


def escaped(text: object) -> str:
    """Text for HTML: markup escaped, control characters and lone surrogates made visible instead of obeyed."""
    return html.escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "�", str(text)))


def head(run: RunRecord, what: str) -> str:
    """The run's name, how it ended and what it was."""
    status = str(run.summary.get("status", "no summary"))
    steps = run.steps_done
    wall = number(run.summary.get("wall_seconds"))
    tone = _BADGES.get(status, "warn")
    took = f" in {duration(wall)}" if math.isfinite(wall) else ""
    took += " so far" if run.running else ""
    return (
        f'<header><h1>{escaped(run.name)}<span class="badge {tone}">{escaped(status)}</span></h1>'
        f"<p>{what} · {steps:,} step{'s' * (steps != 1)}{took}</p></header>\n"
    )


def notices(run: RunRecord, loss: str, losses: str) -> str:
    """What must not be missed. `losses` is the summary's list of what was lost, `loss` what it is called."""
    parts = []
    if run.summary.get("reason"):
        reason = escaped(run.summary["reason"])
        parts.append(f'<div class="card notice bad"><b>Why it ended</b><pre>{reason}</pre></div>')
    lost = run.summary.get(losses)
    if isinstance(lost, list) and lost:
        names = ", ".join(map(escaped, lost))
        parts.append(f'<div class="card notice bad"><b>{loss}:</b> {names}</div>')
    warnings = run.summary.get("warnings")
    if isinstance(warnings, list) and warnings:
        items = "".join(f"<li>{escaped(warning)}</li>" for warning in warnings)
        parts.append(f'<div class="card notice"><b>Warnings</b><ul>{items}</ul></div>')
    if errors := _infra_errors(run.summary.get("infra_errors")):
        parts.append(f'<div class="card notice bad"><b>Answers that could not be judged</b>{errors}</div>')
    none_yet = [f"No training step was recorded{' yet' if run.running else ''}."]
    missing = [*run.missing, *([] if run.training_steps else none_yet)]
    if missing:
        items = "".join(f"<li>{escaped(sentence)}</li>" for sentence in missing)
        parts.append(f'<div class="card notice"><b>Not everything is here</b><ul>{items}</ul></div>')
    return "".join(parts)


def _infra_errors(errors: object) -> str:
    """What verifiers failed with: each kind with its traceback and the answers it has cost."""
    parts = []
    for error in errors if isinstance(errors, list) else []:
        what, trace = (escaped(lookup(error, name) or "") for name in ("what", "traceback"))
        cost = formatted(number(lookup(error, "answers")), ",.0f")
        parts.append(f"<p>{cost} answers: {what}</p>" + (f"<pre>{trace}</pre>" if trace else ""))
    return "".join(parts)


def _tiles(run: RunRecord) -> str:
    s = run.summary
    before, after = (number(lookup(s, "pass_at_1", when, "all")) for when in ("before", "after"))
    ends = _range((number(lookup(s, "pass_at_1_change", "all", end)) for end in ("low", "high")), _points)
    change = f"<br>{_points(after - before)} points, 95% interval {ends}" if math.isfinite(after - before) else ""
    rates = [rate for rate in (before, after) if math.isfinite(rate)]
    held_out = " → ".join(map(_percent, rates)) or "–"
    when = (
        f", before training{'; not over yet' if run.running else ''}"
        if math.isfinite(before) and len(rates) == 1
        else ""
    )
    trained, reused = (number(lookup(s, "trajectories", name)) for name in ("trained", "reused"))
    tiles = [
        (held_out, f"held-out pass@1, all domains{when}{change}"),
        (_percent(reused / trained) if trained > 0 else "–", "of trained trajectories were reused"),
        (_percent(number(s.get("overlap"))), "of learning overlapped with sampling"),
        (formatted(number(s.get("tokens_per_second")), ",.0f"), "response tokens a second"),
        (formatted(number(s.get("mismatch_start")), ".1e"), "mismatch at start, nats a token"),
        (duration(number(s.get("learn_seconds"))), "of learning"),
    ]
    cards = "".join(
        f'<div class="card tile{" first" if i == 0 else ""}"><b>{value}</b><span>{label}</span></div>'
        for i, (value, label) in enumerate(tile for tile in tiles if tile[0] != "–")
    )
    return f'<section class="tiles">{cards}</section>\n'


def _evaluation(run: RunRecord) -> str:
    s = run.summary
    before = lookup(s, "pass_at_1", "before")
    if not isinstance(before, Mapping) or not before:
        yet = " yet" if run.running else ""
        return f'<h2>Before and after</h2><p class="muted">Held-out pass@1 was not measured{yet}.</p>'
    rows = []
    for domain in before:
        values = {when: number(lookup(s, "pass_at_1", when, domain)) for when in ("before", "after")}
        ends = {when: _interval(lookup(s, "pass_at_1_interval", when, domain)) for when in values}
        change = [number(lookup(s, "pass_at_1_change", domain, end)) for end in ("value", "low", "high")]
        tone = "good" if change[1] > 0 else "bad" if change[2] < 0 else "muted"
        parseable = [number(lookup(s, "evaluation", when, domain, "parseable")) for when in values]
        emphasis = ' class="all"' if domain == "all" else ""
        rows.append(
            f"<tr{emphasis}><td>{escaped(domain)}</td>"
            + "".join(f"<td>{_percent(values[w])} <small>{_range(ends[w])}</small></td>" for w in values)
            + f'<td class="{tone}">{_points(change[0])} <small>{_range(change[1:], _points)}</small></td>'
            + f'<td class="scale">{_track(values, ends)}</td>'
            + f"<td>{' → '.join(_percent(share) for share in parseable if math.isfinite(share)) or '–'}</td>"
            + f"<td>{_tasks(lookup(s, 'evaluation', 'before', domain))}</td></tr>"
        )
    return (
        '<h2>Before and after</h2><div class="card scroll"><table><tr><th>domain</th><th>before</th><th>after</th>'
        '<th>change, points</th><th class="scale">0%<span>100%</span></th><th>parseable</th><th>tasks</th></tr>'
        f'{"".join(rows)}</table></div><div class="keys under"><span><i style="--k:var(--c7)"></i>before</span>'
        '<span><i style="--k:var(--c1)"></i>after</span><span>small print and bars: 95% intervals; an answer that '
        "cannot be read counts as not passed</span></div>\n"
    )


def _tasks(result: object) -> str:
    """How many tasks a score is over, and of how many, if some could not be judged."""
    tasks, asked = (lookup(result, name) for name in ("tasks", "asked"))
    return escaped(tasks or "–") + (f" of {escaped(asked)}" if number(asked) > number(tasks) else "")


def _track(values: Mapping[str, float], ends: Mapping[str, tuple[float, float]]) -> str:
    marks = []
    for when, place, colour in (("before", "b", "--c7"), ("after", "a", "--c1")):
        low, high = ends[when]
        if math.isfinite(values[when]) and math.isfinite(high - low):
            style = f"--k:var({colour});left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"
            marks.append(f'<i class="{place}" style="{style}"></i>')
            marks.append(f'<u class="{place}" style="--k:var({colour});left:{100 * values[when]:.2f}%"></u>')
    return f'<span class="track">{"".join(marks)}</span>'


def _plots(run: RunRecord) -> str:
    return plots_section(headline_plots(run), [*judging_plots(run), *detail_plots(run)]) if run.steps else ""


def plots_section(headline: Sequence[Plot], details: Sequence[Plot]) -> str:
    """Two large plots and the others."""
    first, rest = ("".join(map(_plot, plots)) for plots in (headline, details))
    title = '<h2>Over the run <small class="muted">by step</small></h2>'
    return f'{title}<div class="grid two">{first}</div><div class="grid">{rest}</div>\n'


def _plot(plot: Plot) -> str:
    keys = "".join(f'<span><i style="--k:var({colour})"></i>{escaped(label)}</span>' for label, colour in plot.keys)
    drawing = plot.svg.replace("<svg", f'<svg role="img" aria-label="{escaped(plot.title)}"', 1) if plot.svg else ""
    legend = f'<div class="keys">{keys}</div>' if keys else ""
    drawing = drawing or '<div class="none">not reported by this run</div>'
    title, caption = escaped(plot.title), escaped(plot.caption)
    return f'<figure class="card plot"><h3>{title}</h3><p>{caption}</p>{legend}{drawing}</figure>'


def _samples(run: RunRecord) -> str:
    by_domain: dict[str, dict[str, list[Mapping[str, object]]]] = defaultdict(lambda: defaultdict(list))
    for sample in run.samples:
        by_domain[str(sample.get("domain"))][str(sample.get("task_id"))].append(sample)
    if not by_domain:
        return ""
    parts = ["<h2>Sampled responses</h2>"]
    for domain, tasks in sorted(by_domain.items()):
        # Tasks seen both before and after RL say most.
        ordered = sorted(tasks.items(), key=lambda item: -len({str(s.get("when")) for s in item[1]}))
        shown = ordered[:SAMPLES_PER_DOMAIN]
        count = f' <span class="muted">{len(shown)} of {len(tasks)} tasks in samples.jsonl</span>'
        cards = "".join(_task(task_id, samples) for task_id, samples in shown)
        parts.append(f"<details open><summary>{escaped(domain)}{count}</summary>{cards}</details>")
    return "".join(parts)


def _task(task_id: str, samples: Iterable[Mapping[str, object]]) -> str:
    samples = sorted(samples, key=lambda sample: sample.get("when") != "before")[:4]
    first = samples[0]
    expected = first.get("expected")
    wanted = f" · expected <b>{escaped(expected)}</b>" if expected is not None else ""
    answers = "".join(map(_answer, samples))
    return (
        f'<div class="card sample"><p>{escaped(task_id)}{wanted}</p>'
        f'<pre dir="auto">{escaped(first.get("prompt", ""))}</pre><div class="pair">{answers}</div></div>'
    )


def _answer(sample: Mapping[str, object]) -> str:
    score, status = number(sample.get("score")), str(sample.get("status", ""))
    if math.isfinite(score):
        verdict, tone = f"score {score:g}", "good" if score >= 1 else "bad" if score <= 0 else "warn"
    else:
        verdict, tone = status.replace("_", " ") or "not judged", "warn"
    response = str(sample.get("response", ""))
    cut = len(response) - CHARACTERS_PER_RESPONSE
    tail = f'\n<span class="muted">… {cut:,} more characters in samples.jsonl</span>' if cut > 0 else ""
    return (
        f'<div class="answer"><div><span>{escaped(sample.get("when", ""))}</span>'
        f'<b class="{tone}">{escaped(verdict)}</b></div>'
        f'<pre dir="auto">{escaped(response[:CHARACTERS_PER_RESPONSE])}{tail}</pre></div>'
    )


def _facts(run: RunRecord) -> str:
    s = run.summary
    counts = {name.replace("_", " "): value for name, value in items(s.get("trajectories"))}
    failures = {name: value for name, value in items(s.get("failures")) if value}
    facts = {
        "tasks": " · ".join(
            f"{name.replace('_', ' ')} {formatted(number(n), ',.0f')}" for name, n in items(s.get("tasks"))
        ),
        "trajectories": " · ".join(f"{name} {formatted(number(v), ',.0f')}" for name, v in counts.items()),
        "time": " · ".join(f"{name} {duration(number(v))}" for name, v in items(s.get("phases"))),
        "idle": f"learner {_percent(number(s.get('learner_idle')))} · engines {_percent(number(s.get('engine_idle')))}",
        "nodes": " · ".join(
            f"{node}: {', '.join(map(str, actors)) if isinstance(actors, list) else actors}"
            for node, actors in items(s.get("nodes"))
        ),
        "unparseable": " · ".join(f"{d} {_percent(_unparseable(c))}" for d, c in items(s.get("answers"))),
        "verifiers": " · ".join(f"{name} {_latency(t)}" for name, t in items(s.get("verifiers"))),
        "failures": " · ".join(f"{name} {value}" for name, value in failures.items()) or "none counted",
    }
    return facts_table(facts) if s else ""


def facts_table(facts: Mapping[str, str]) -> str:
    """Names and texts; those without text are left out."""
    rows = "".join(f"<tr><td>{escaped(name)}</td><td>{escaped(text)}</td></tr>" for name, text in facts.items() if text)
    return f'<h2>Counts</h2><div class="card"><table class="facts">{rows}</table></div>\n'


def _latency(times: object) -> str:
    p50, p95 = (formatted(number(lookup(times, name)), ".2g") for name in ("p50", "p95"))
    return f"{p50} s a group (95%: {p95} s)"


def _unparseable(counts: object) -> float:
    judged = sum(number(count) for _, count in items(counts))
    return number(lookup(counts, "unparseable")) / judged if judged > 0 else math.nan


def recipe(run: RunRecord) -> str:
    """The recipe as it ran."""
    if not run.recipe:
        return ""
    return f'<details class="card"><summary>Recipe</summary><pre>{escaped(run.recipe)}</pre></details>\n'


def _interval(value: object) -> tuple[float, float]:
    return (number(value[0]), number(value[1])) if isinstance(value, list) and len(value) == 2 else (math.nan, math.nan)


def _percent(share: float) -> str:
    return formatted(100 * share, ".1f") + ("%" if math.isfinite(share) else "")


def _points(share: float) -> str:
    return formatted(100 * share, "+.1f")


def _range(ends: Iterable[float], shown: Callable[[float], str] = lambda share: formatted(100 * share, ".0f")) -> str:
    low, high = ends
    return f"{shown(low)}…{shown(high)}" if math.isfinite(high - low) else ""
