"""A cgroup (version 2) for each slot, where one can be had: there the kernel counts whatever its processes do.

It lies below this process's own, so that limits set on that one still hold. Wherever a folder may be made there, CPU
time is counted; memory and processes are bounded too where the controllers `memory` and `pids` are on, or where the
cgroup was given to its processes to divide (`systemd-run --user --scope -p Delegate=yes …`), which systemd says in an
attribute of the folder. Without any of this, limits and looking at /proc have to do.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from reprise.sandbox.base import JobLimits

_OURS = "reprise-"
_OWNERS = "reprise-owner"  # where the processes of a cgroup that is divided go: it may then hold none itself
_DELEGATED = ("user.delegate", "trusted.delegate")
_MIB = 1 << 20
_SLACK_BYTES = 32 * _MIB  # kernel memory of a job's processes, beside _EACH_BYTES for each of them
_EACH_BYTES = 1 * _MIB  # its page tables, which are as large as the zygote's, and its stack
_BOX_PROCESSES = 4  # bubblewrap's two, the zygote, and one to spare

_TRIES, _PAUSE_S = 500, 0.002

_lock = threading.Lock()
_made = 0


class Group:
    """One slot's cgroup. Its files need not exist: what is not there does not bound."""

    def __init__(self, parent: Path) -> None:
        """OSError if no folder can be made there."""
        global _made
        with _lock:
            _made += 1
            self.path = parent / f"{_OURS}{os.getpid()}-{_made}"
        self.path.mkdir()
        self._base_bytes = 0
        self._limits: JobLimits | None = None

    @property
    def bounds(self) -> bool:
        """Whether it bounds memory or processes, and does not only count CPU time."""
        return (self.path / "memory.max").exists() or (self.path / "pids.max").exists()

    def settle(self) -> None:
        """What it holds now is its zygote's, not a job's; if its memory runs out, all of it ends, and nothing half."""
        self._base_bytes = int(self._read("memory.current") or 0)
        self._write("memory.oom.group", "1")
        self._write("memory.swap.max", "0")

    def limit(self, limits: JobLimits) -> None:
        """Bound the next job: memory, and what it writes to files and streams, which is memory too."""
        if limits == self._limits:
            return
        files = (limits.disk_mb << 20) + 4 * limits.output_bytes
        memory = self._base_bytes + (limits.memory_mb << 20) + files + _SLACK_BYTES + limits.processes * _EACH_BYTES
        self._write("memory.max", str(memory))
        self._write("pids.max", str(limits.processes + _BOX_PROCESSES))
        self._limits = limits

    def cpu_s(self) -> float:
        """CPU seconds of all that ever ran in it."""
        return self._field("cpu.stat", "usage_usec") / 1e6

    def out_of_memory(self) -> int:
        """How often its memory ran out."""
        return self._field("memory.events", "oom")

    def remove(self) -> None:
        """If it is still there, as soon as it is empty: its processes have been asked to end, and soon have."""
        for _ in range(_TRIES):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(_PAUSE_S)

    def _field(self, file: str, name: str) -> int:
        rows = [line.split() for line in self._read(file).splitlines()]
        return next((int(row[1]) for row in rows if row[0] == name), 0)

    def _read(self, file: str) -> str:
        try:
            return (self.path / file).read_text(encoding="ascii")
        except OSError:
            return ""

    def _write(self, file: str, text: str) -> None:
        with contextlib.suppress(OSError):
            (self.path / file).write_text(text, encoding="ascii")


def new_group() -> Group | None:
    """A cgroup for one slot; None if this process may make none."""
    parent = own_cgroup(Path("/proc/self"))
    if parent is None:
        return None
    if parent.name == _OWNERS:
        parent = parent.parent
    try:
        _sweep(parent)
        if any(name in os.listxattr(parent) for name in _DELEGATED):
            _divide(parent)
        return Group(parent)
    except OSError:
        return None


def own_cgroup(process: Path) -> Path | None:
    """The folder of the process's cgroup of version 2, by its files in /proc."""
    try:
        lines = (process / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = [line.split() for line in (process / "mountinfo").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    for fields in mounts:  # id, parent, device, root, mount point, options, …, "-", type
        if own is not None and fields[fields.index("-") + 1] == "cgroup2":
            inside = os.path.relpath(own, fields[3])
            return None if inside.startswith("..") else Path(fields[4], inside)
    return None


def _divide(parent: Path) -> None:
    """Turn the controllers on, for which its processes have to move one level down. They are ours to move."""
    if "memory" in (parent / "cgroup.subtree_control").read_text(encoding="ascii").split():
        return
    leaf = parent / _OWNERS
    leaf.mkdir(exist_ok=True)
    for pid in (parent / "cgroup.procs").read_text(encoding="ascii").split():
        with contextlib.suppress(ProcessLookupError):
            (leaf / "cgroup.procs").write_text(pid, encoding="ascii")
    with contextlib.suppress(OSError):  # not given, or a new process came meanwhile: then without
        (parent / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")


def _sweep(parent: Path) -> None:
    """Remove what owners left that were killed together with their keepers."""
    for path in parent.glob(f"{_OURS}[0-9]*-*"):
        if not os.path.exists(f"/proc/{path.name.removeprefix(_OURS).partition('-')[0]}"):
            with contextlib.suppress(OSError):
                path.rmdir()
