"""What `bench/peers.py` prints: when each system reached the target, and where its time went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

# Of TRL's rise in pass@1: the last is the one asked for.
SHARES = (0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint: seconds and rollouts it took, optimiser steps, held-out pass@1."""

    seconds: float
    rollouts: int
    step: int
    pass_at_1: float


def smoothed(curve: Sequence[Point]) -> list[Point]:
    """Each point with the mean pass@1 of itself and its neighbours: a single evaluation is noisy by a point or so."""
    means = []
    for i, point in enumerate(curve):
        near = curve[max(0, i - 1) : i + 2]
        means.append(Point(point.seconds, point.rollouts, point.step, sum(p.pass_at_1 for p in near) / len(near)))
    return means


def reached(curve: Sequence[Point], target: float) -> Point | None:
    """Where the smoothed curve first reaches `target`, between checkpoints by straight lines; None if it never does."""
    points = smoothed(curve)
    if points[0].pass_at_1 >= target:
        return points[0]
    for before, after in pairwise(points):
        if after.pass_at_1 >= target:
            share = (target - before.pass_at_1) / (after.pass_at_1 - before.pass_at_1)
            return Point(
                before.seconds + share * (after.seconds - before.seconds),
                round(before.rollouts + share * (after.rollouts - before.rollouts)),
                round(before.step + share * (after.step - before.step)),
                target,
            )
    return None


def show(
    console: Console, curves: dict[str, list[Point]], ours: list[dict[str, Any]], trl: list[dict[str, Any]]
) -> None:
    """The table, then where each system's time goes, then the curves.

    The end of TRL's curve may be flat, where a point of noise is worth many seconds: so the way there is shown too.
    """
    start, end = curves["TRL"][0].pass_at_1, smoothed(curves["TRL"])[-1].pass_at_1
    title = f"held-out pass@1: both start at {start:.3f}; TRL ends at {end:.3f}, ours at "
    table = Table(title=f"{title}{smoothed(curves['reprise'])[-1].pass_at_1:.3f}", box=box.SIMPLE)
    table.add_column("until")
    for column in ("reprise", "TRL", "ratio"):
        table.add_column(f"seconds\n{column}", justify="right")
    for column in ("reprise", "TRL", "ratio"):
        table.add_column(f"rollouts\n{column}", justify="right")
    for share in SHARES:
        target = start + share * (end - start)
        ours_at, trl_at = (reached(curves[name], target) for name in ("reprise", "TRL"))
        last = curves["reprise"][-1]
        cells = []
        for field in ("seconds", "rollouts"):
            theirs = getattr(trl_at, field) if trl_at else math.nan
            mine = getattr(ours_at, field) if ours_at else math.nan
            shown = f"{mine:,.0f}" if ours_at else f"not in {getattr(last, field):,.0f}"
            cells += [shown, f"{theirs:,.0f}", f"{mine / theirs:.2f}" if ours_at else "-"]
        table.add_row(f"{target:.3f} ({share:.0%} of TRL's rise)", *cells)
    for name in ("reprise", "TRL"):
        last = curves[name][-1]
        table.caption = (table.caption or "") + (
            f"{name}: {last.seconds / last.step:.2f} s a step, {last.rollouts / last.seconds:,.0f} rollouts a second.  "
        )
    console.print(table)

    def mean(name: str) -> float:
        known = [m[name] for m in ours if m.get(name) is not None]
        return sum(known) / len(known)

    sampled = sum(m["trajectories/sampled"] for m in ours)
    console.print(
        f"reprise  {mean('time/step'):.2f} s a step: learning {mean('time/learn'):.2f}, "
        f"publishing {mean('time/publish'):.2f}, learner idle {mean('time/learner_idle'):.0%}; "
        f"engine idle {mean('time/engine_idle'):.0%}, {mean('throughput/tokens_per_second'):,.0f} tokens/s; "
        f"{sampled / len(ours):,.0f} rollouts and {mean('groups/zero_variance'):.0f} groups a step without variance, "
        f"{mean('reuse/fraction'):.0%} of a batch reused"
    )
    generate, learn = (sum(step[key] for step in trl) / len(trl) for key in ("generate", "learn"))
    console.print(f"TRL      {generate:.2f} s generating, {learn:.2f} s verifying and learning a step")
    for name, curve in curves.items():
        console.print(f"{name:8} " + "  ".join(f"{p.seconds:.0f}s {p.pass_at_1:.3f}" for p in curve), soft_wrap=True)
