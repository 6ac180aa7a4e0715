"""What the report shows of a run, for the templates beside this file. They escape every text."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from reprise.launch.reporting.durations import duration
from reprise.launch.reporting.lookup import formatted, items, lookup, number
from reprise.launch.reporting.report import plots, sft_plots
from reprise.launch.reporting.report.sources import RunRecord
from reprise.launch.reporting.sft_summary_table import held_out_losses, loss, stages
from reprise.launch.reporting.summary_table import (
    DomainRow,
    cost_of,
    counted,
    domain_rows,
    latency,
    points,
    unparseable,
)

SAMPLES_PER_DOMAIN = 3
CHARACTERS_PER_RESPONSE = 20_000
_BADGES = {"finished": "good", "failed": "bad"}
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def page(run: RunRecord) -> str:
    """The whole page."""
    s, kind = run.summary, "sft" if run.supervised else "rl"
    status, wall = str(s.get("status", "no summary")), number(s.get("wall_seconds"))
    none_yet = f"No training step was recorded{' yet' if run.running else ''}."
    return _template(f"{kind}.html").render(
        run=run,
        status=status,
        tone=_BADGES.get(status, "warn"),
        took=(f" in {duration(wall)}" if math.isfinite(wall) else "") + (" so far" if run.running else ""),
        yet=" yet" if run.running else "",
        reason=s.get("reason"),
        warnings=_list(s.get("warnings")),
        infra_errors=[
            (cost_of(e), lookup(e, "what") or "", lookup(e, "traceback") or "") for e in _list(s.get("infra_errors"))
        ],
        missing=[*run.missing, *([] if run.training_steps else [none_yet])],
        **(_sft(run) if kind == "sft" else _rl(run)),
    )


@cache
def _template(name: str) -> Template:
    """Markup is escaped, and control characters and lone surrogates are made visible instead of obeyed."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else _OBEYED.sub("�", str(value)),
    ).get_template(name)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


# --- RL ---------------------------------------------------------------------------------------------------------------


def _rl(run: RunRecord) -> dict[str, object]:
    s = run.summary
    return {
        "what": "Reinforcement learning with verifiable rewards",
        "loss": "Fell beyond the 95% interval",
        "lost": _list(s.get("fallen")),
        "tiles": [tile for tile in _tiles(run) if tile[0] != "–"],
        "domains": [_domain(row) for row in domain_rows(s)],
        "headline": plots.headline_plots(run) if run.steps else [],
        "details": [*plots.verifying_plots(run), *plots.detail_plots(run)] if run.steps else [],
        "samples": _samples(run),
        "facts": _rl_facts(s) if s else {},
    }


def _tiles(run: RunRecord) -> list[tuple[str, str, str]]:
    s, all_domains = run.summary, DomainRow(run.summary, "all")
    before, after = all_domains.rates
    rates = [rate for rate in (before, after) if math.isfinite(rate)]
    when = ", before training" + ("; not over yet" if run.running else "")
    change = f"{points(after - before)} points, 95% interval {_range(all_domains.change[1:], points)}"
    trained, reused = (number(lookup(s, "trajectories", name)) for name in ("trained", "reused"))
    return [
        (
            " → ".join(map(_percent, rates)) or "–",
            f"held-out pass@1, all domains{when if rates == [before] else ''}",
            change if len(rates) == 2 else "",
        ),
        (_percent(reused / trained) if trained > 0 else "–", "of trained trajectories were reused", ""),
        (_percent(number(s.get("overlap"))), "of learning overlapped with sampling", ""),
        (formatted(number(s.get("tokens_per_second")), ",.0f"), "response tokens a second", ""),
        (formatted(number(s.get("mismatch_start")), ".1e"), "mismatch at start, nats a token", ""),
        (duration(number(s.get("learn_seconds"))), "of learning", ""),
    ]


def _domain(row: DomainRow) -> dict[str, object]:
    value, low, high = row.change
    colours = (("b", "--c7"), ("a", "--c1"))
    return {
        "domain": row.domain,
        "rates": [(_percent(rate), _range(ends)) for rate, ends in zip(row.rates, row.intervals)],
        "change": points(value),
        "change_interval": _range((low, high), points),
        "tone": "good" if low > 0 else "bad" if high < 0 else "muted",
        "marks": [
            (*colour, *(f"{100 * share:.2f}" for share in (rate, ends[0], ends[1] - ends[0])))
            for colour, rate, ends in zip(colours, row.rates, row.intervals)
            if math.isfinite(rate) and math.isfinite(ends[1] - ends[0])
        ],
        "parseable": " → ".join(_percent(share) for share in row.parseable if math.isfinite(share)) or "–",
        "tasks": row.tasks,
    }


def _samples(run: RunRecord) -> list[tuple[str, list[tuple[dict[str, object], list[dict[str, object]]]], int]]:
    """By domain: some tasks, each with its answers before and after, and how many tasks there are."""
    by_domain: dict[str, dict[str, list[Mapping[str, object]]]] = defaultdict(lambda: defaultdict(list))
    for sample in run.samples:
        by_domain[str(sample.get("domain"))][str(sample.get("task_id"))].append(sample)
    shown = []
    for domain, tasks in sorted(by_domain.items()):
        # Tasks seen both before and after RL say most.
        ordered = sorted(tasks.values(), key=lambda samples: -len({str(s.get("when")) for s in samples}))
        shown.append((domain, [_task(samples) for samples in ordered[:SAMPLES_PER_DOMAIN]], len(tasks)))
    return shown


def _task(samples: Iterable[Mapping[str, object]]) -> tuple[dict[str, object], list[dict[str, object]]]:
    answers = sorted(samples, key=lambda sample: sample.get("when") != "before")[:4]
    first = answers[0]
    task = {"task_id": first.get("task_id"), "expected": first.get("expected"), "prompt": first.get("prompt", "")}
    return task, [_answer(sample) for sample in answers]


def _answer(sample: Mapping[str, object]) -> dict[str, object]:
    score, status, text = number(sample.get("score")), str(sample.get("status", "")), str(sample.get("response", ""))
    if math.isfinite(score):
        verdict, tone = f"score {score:g}", "good" if score >= 1 else "bad" if score <= 0 else "warn"
    else:
        verdict, tone = status.replace("_", " ") or "not verified", "warn"
    return {
        "when": sample.get("when", ""),
        "verdict": verdict,
        "tone": tone,
        "text": text[:CHARACTERS_PER_RESPONSE],
        "cut": len(text) - CHARACTERS_PER_RESPONSE,
    }


def _rl_facts(s: Mapping[str, object]) -> dict[str, str]:
    return {
        "tasks": _counts(s.get("tasks")),
        "trajectories": _counts(s.get("trajectories")),
        "idle": f"learner {_percent(number(s.get('learner_idle')))} · engines {_percent(number(s.get('engine_idle')))}",
        "unparseable": " · ".join(f"{d} {unparseable(c)}" for d, c in items(s.get("answers"))),
        "verifiers": " · ".join(f"{name} {latency(t)}" for name, t in items(s.get("verifiers"))),
        **_facts(s),
    }


# --- SFT --------------------------------------------------------------------------------------------------------------


def _sft(run: RunRecord) -> dict[str, object]:
    s = run.summary
    times, losses = held_out_losses(s)
    speed = number(s.get("tokens_per_second"))
    facts = {
        f"stage {stage.get('name')}": f"{stage.get('steps')} steps · {counted(stage.get('tokens'))} tokens trained · "
        f"loss {loss(stage.get('first_loss'))} → {loss(stage.get('last_loss'))}"
        for stage in stages(s)
    } | {
        "throughput": f"{speed:,.0f} tokens a second" if math.isfinite(speed) else "",
        "resumed": f"from step {s['resumed_at']}" if s.get("resumed_at") is not None else "",
    }
    return {
        "what": "Supervised fine-tuning",
        "loss": "Forgotten between stages",
        "lost": _list(s.get("forgotten")),
        "times": times,
        "losses": losses.items(),
        "headline": sft_plots.headline_plots(run),
        "details": sft_plots.detail_plots(run),
        "facts": facts | _facts(s) if s else {},
    }


# --- both -------------------------------------------------------------------------------------------------------------


def _facts(s: Mapping[str, object]) -> dict[str, str]:
    return {
        "time": " · ".join(f"{name} {duration(number(v))}" for name, v in items(s.get("phases"))),
        "nodes": " · ".join(
            f"{node}: {', '.join(map(str, actors)) if isinstance(actors, list) else actors}"
            for node, actors in items(s.get("nodes"))
        ),
        "failures": " · ".join(f"{name} {n}" for name, n in items(s.get("failures")) if n) or "none counted",
    }


def _counts(counts: object) -> str:
    return " · ".join(f"{name.replace('_', ' ')} {counted(n)}" for name, n in items(counts))


def _percent(share: float) -> str:
    return formatted(100 * share, ".1f") + ("%" if math.isfinite(share) else "")


def _range(ends: Iterable[float], shown: Callable[[float], str] = lambda share: formatted(100 * share, ".0f")) -> str:
    low, high = ends
    return f"{shown(low)}…{shown(high)}" if math.isfinite(high - low) else ""
