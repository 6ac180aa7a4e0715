"""What a job's processes use, read from /proc of the machine outside the box."""

from __future__ import annotations

import os
from dataclasses import dataclass

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process.

    cpu_s     CPU seconds, with those of the children it waited for
    waited_s  of which are theirs
    resident  bytes, shared pages included
    parent    the parent's pid
    started   clock tick of its start: with the pid, who it is
    """

    cpu_s: float
    waited_s: float
    resident: int
    parent: int
    started: int


class CpuOfAll:
    """CPU seconds of a job's processes together, those included that ended without anybody waiting for them.

    Their time vanishes with them from what the kernel reports, so the greatest seen is kept.
    """

    def __init__(self) -> None:
        self._last: dict[int, Usage] = {}
        self.vanished_s = 0.0

    def add(self, now: dict[int, Usage]) -> float:
        """The seconds so far; `now`: all processes that are left."""
        gone = {pid: used for pid, used in self._last.items() if not _same(used, now.get(pid))}
        owed: dict[int, float] = {}  # by the nearest ancestor that is left
        for used in gone.values():
            heir = used.parent
            for _ in gone:  # a pid may be used again between two looks: no more steps than there are
                heir = gone[heir].parent if heir in gone else heir
            owed[heir] = owed.get(heir, 0.0) + used.cpu_s
        for heir, cpu_s in owed.items():
            before, after = self._last.get(heir), now.get(heir)
            waited_s = after.waited_s - before.waited_s if before and after else 0.0
            self.vanished_s += max(0.0, cpu_s - waited_s)
        self._last = now
        return self.vanished_s + sum(used.cpu_s for used in now.values())


def _same(one: Usage, other: Usage | None) -> bool:
    return other is not None and one.started == other.started


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
    own, waited = (int(fields[i]) + int(fields[i + 1]) for i in (11, 13))
    return Usage((own + waited) * _TICK_S, waited * _TICK_S, int(fields[21]) * _PAGE, int(fields[1]), int(fields[19]))


def unmapped_bytes(pid: int) -> int:
    """Memory that it has beside its resident pages: page tables, and what is swapped out; 0 if the process is gone.

    Page tables alone can be gigabytes: every 2 MiB of address space that is only looked at costs a page of them.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file if line.startswith(("VmPTE:", "VmSwap:"))]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(row[1]) << 10 for row in rows)


def delay_s(pid: int) -> float | None:
    """Seconds that its threads were ready to run and had no core; None if the kernel does not say."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[1])
    except (OSError, IndexError):
        return None
    return total * 1e-9


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
