"""Groups as plain dictionaries of numbers, strings and numpy arrays, and back: what checkpoints store."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from reprise.core.types import FinishReason, Group, Status, Task, Trajectory, Verdict

# What the fields of a group, a trajectory or a verdict are, by name.
Plain = dict[str, Any]


def group_to_plain(group: Group) -> Plain:
    """The group without its classes. Arrays are shared, not copied: nobody writes into a group's arrays."""
    plain = _shallow(group)
    plain["task"] = _shallow(group.task)
    plain["trajectories"] = [_trajectory_to_plain(t) for t in group.trajectories]
    return plain


def group_from_plain(plain: Plain) -> Group:
    """The inverse of `group_to_plain`."""
    trajectories = tuple(_trajectory_from_plain(t) for t in plain["trajectories"])
    return Group(**{**plain, "task": Task(**plain["task"]), "trajectories": trajectories})


def _trajectory_to_plain(trajectory: Trajectory) -> Plain:
    plain = _shallow(trajectory)
    plain["finish_reason"] = str(trajectory.finish_reason)
    if (verdict := trajectory.verdict) is not None:
        plain["verdict"] = {"status": str(verdict.status), "score": verdict.score, "detail": dict(verdict.detail)}
    return plain


def _trajectory_from_plain(plain: Plain) -> Trajectory:
    verdict = plain["verdict"]
    if verdict is not None:
        verdict = Verdict(**{**verdict, "status": Status(verdict["status"])})
    return Trajectory(**{**plain, "finish_reason": FinishReason(plain["finish_reason"]), "verdict": verdict})


def _shallow(value: Group | Task | Trajectory) -> Plain:
    return {f.name: getattr(value, f.name) for f in fields(value)}
