"""The processes of a run, seen from outside: the CPU time they used, and pinning some of them to one core."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil


def descendants() -> list[psutil.Process]:
    """All processes below this one: Ray's own, its actors, and vLLM's below these."""
    return psutil.Process().children(recursive=True)


def of_actor(cls: type) -> list[psutil.Process]:
    """The processes of an actor class and all below them."""
    title = f"ray::{cls.__name__}"
    found = []
    for process in descendants():
        with suppress(psutil.NoSuchProcess):
            command = process.cmdline()
            if command and command[0].split(".")[0].strip() == title:
                found += [process, *process.children(recursive=True)]
    if not found:
        raise RuntimeError(f"no process is called {title}")
    return found


def cpu_seconds() -> dict[str, float]:
    """CPU seconds used so far, by what kind of process: this one is `driver`, Ray's own are `ray`."""
    used: dict[str, float] = {"driver": _cpu(psutil.Process())}
    for process in descendants():
        with suppress(psutil.NoSuchProcess):
            kind = _kind(process)
            used[kind] = used.get(kind, 0.0) + _cpu(process)
    return used


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _kind(process: psutil.Process) -> str:
    title = (process.cmdline() or [process.name()])[0]
    if title.startswith(("ray::IDLE", "ray::Dashboard")) or not title.startswith(("ray::", "VLLM::")):
        return "ray"
    return title.split(".")[0].strip()


@contextmanager
def one_core(processes: Sequence[psutil.Process], core: int) -> Iterator[None]:
    """Every thread of `processes` runs on one core inside the block, and where it may run now after it."""
    allowed = os.sched_getaffinity(0)
    _pin(processes, {core})
    try:
        yield
    finally:
        _pin(processes, allowed)


def _pin(processes: Sequence[psutil.Process], cores: set[int]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)
