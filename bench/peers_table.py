"""What `bench/peers.py` prints: when each system reached the target, and where its time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


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
    """The table, then where each system's time goes, then the curves."""
    target = smoothed(curves["TRL"])[-1].pass_at_1
    at = {name: reached(curve, target) for name, curve in curves.items()}
    start = curves["TRL"][0].pass_at_1
    table = Table(
        title=f"until held-out pass@1 {target:.3f}, TRL's at the end; both start at {start:.3f}", box=box.SIMPLE
    )
    for column in ("", "reprise", "TRL", "reprise / TRL"):
        table.add_column(column, justify="left" if not column else "right")
    for label, field in (("seconds", "seconds"), ("rollouts", "rollouts"), ("optimiser steps", "step")):
        values = [getattr(point, field) for point in at.values() if point]
        shown = [
            f"{getattr(point, field):,.0f}" if point else f"not in {getattr(curves[name][-1], field):,.0f}"
            for name, point in at.items()
        ]
        table.add_row(label, *shown, f"{values[0] / values[1]:.2f}" if len(values) == len(at) else "-")
    rates = {name: (c[-1].seconds / c[-1].step, c[-1].rollouts / c[-1].seconds) for name, c in curves.items()}
    for label, i in (("seconds a step", 0), ("rollouts a second", 1)):
        a, b = rates["reprise"][i], rates["TRL"][i]
        table.add_row(
            label, f"{a:,.2f}" if i == 0 else f"{a:,.0f}", f"{b:,.2f}" if i == 0 else f"{b:,.0f}", f"{a / b:.2f}"
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
    console.print(f"TRL      {generate:.2f} s generating, {learn:.2f} s judging and learning a step")
    for name, curve in curves.items():
        console.print(f"{name:8} " + "  ".join(f"{p.seconds:.0f}s {p.pass_at_1:.3f}" for p in curve), soft_wrap=True)
