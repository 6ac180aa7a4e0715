"""Reading an actor's log when it fails, on whichever node it is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from reprise.actors.errors import ActorFailure
from reprise.actors.output import last_process
from reprise.actors.root_cause import root_cause

_TAIL = 1 << 17  # bytes
_DEADLINE_S = 15.0


async def explain(failure: ActorFailure, log: Path, node_id: str, host: str, killed_before: int | None) -> None:
    """Put what the actor's log says into its failure. The log may be on the actor's node only."""
    here = node_id == ray.get_runtime_context().get_node_id()
    text, killed, place = "", None, str(log)
    if here:
        text, killed = tail(log), processes_killed()
    else:
        try:
            there = NodeAffinitySchedulingStrategy(node_id, soft=False)
            reading: Any = ray.remote(tail).options(num_cpus=0, scheduling_strategy=there, max_retries=0).remote(log)
            text = await asyncio.wait_for(asyncio.ensure_future(reading), _DEADLINE_S)
        except Exception:  # noqa: BLE001 - the node may be gone; the failure is reported without
            text = tail(log)
        place = shown(log) if log.exists() else f"{log} on {host}"
    since = killed - killed_before if killed is not None and killed_before is not None else None
    failure.explain(last_process(text), place if not here else shown(log), since)


def last_words(log: Path) -> str:
    """Where an actor's log is and, if it is here, the error that its last process left in it."""
    cause = root_cause(last_process(tail(log)))
    return f"its log: {shown(log)}" + (f" ({cause})" if cause else "")


def tail(log: Path) -> str:
    """The end of a log; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def shown(path: Path) -> str:
    """A path as users would type it: relative if it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def processes_killed() -> int | None:
    """Processes that the kernel has killed on this machine because memory ran out, since it started."""
    try:
        fields = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return int(fields["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None
