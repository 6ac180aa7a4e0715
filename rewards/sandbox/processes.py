"""What a job's processes use, read from /proc of the machine outside the box."""

from __future__ import annotations

import os
from dataclasses import dataclass

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process: CPU seconds, its ended children's included, and resident bytes, shared pages included."""

    cpu_s: float
    resident: int


def children(pid: int) -> list[int]:
    """Direct children, of any thread; none if the process is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except FileNotFoundError:
        if os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children"):
            return found
        return _children_by_scan(pid)
    except (ProcessLookupError, PermissionError):
        pass
    return found


def tree(pid: int) -> list[int]:
    """The process and all that came of it."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children(found[-1])
    return found


def usage(pid: int) -> Usage | None:
    """None if the process is gone."""
    fields = _stat(pid)
    if fields is None:
        return None
    return Usage(sum(int(fields[i]) for i in (11, 12, 13, 14)) * _TICK_S, int(fields[21]) * _PAGE)


def proportional_bytes(pid: int) -> int:
    """Resident bytes, each shared page counted in parts; 0 if that may not be read or the process is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0


def _stat(pid: int) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _children_by_scan(pid: int) -> list[int]:
    """For kernels without CONFIG_PROC_CHILDREN."""
    every = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [each for each in every if (fields := _stat(each)) is not None and int(fields[1]) == pid]
