"""How a job is locked in, from inside its own process, before any of the program is read."""

from __future__ import annotations

import contextlib
import math
import os
import resource
from typing import TypedDict

from . import kernel, seccomp

FOLDER = "/tmp"  # the job's own writable folder, where it has namespaces
_INODES = 4096
_WRITABLE = ["/dev/null", "/dev/full", "/dev/random", "/dev/urandom"]  # behind Landlock


class Limits(TypedDict):
    """`sandbox.base.JobLimits` as they cross, and whether the address space is bounded."""

    cpu_s: float
    memory_mb: int
    disk_mb: int
    processes: int
    output_bytes: int
    bound_address_space: bool


def enter_namespaces(limits: Limits, outer: tuple[int, int], needed: list[str]) -> None:
    """The first steps of a process that `kernel.fork_into` made: who it is, and a /tmp and /proc of its own.

    outer   user and group outside
    needed  folders of the interpreter, of which those below /tmp must stay in sight
    """
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{outer[0]} {outer[0]} 1")
    _write("/proc/self/gid_map", f"{outer[1]} {outer[1]} 1")
    nodev = kernel.MS_NOSUID | kernel.MS_NODEV
    size = limits["disk_mb"] << 20
    covered = {path: os.open(path, os.O_PATH) for path in needed if path.startswith(f"{FOLDER}/")}
    kernel.mount("tmpfs", FOLDER, "tmpfs", nodev, f"size={size},nr_inodes={_INODES},mode=0700")
    for path, fd in covered.items():
        os.makedirs(path)
        kernel.mount(f"/proc/self/fd/{fd}", path, "", kernel.MS_BIND | kernel.MS_REC)
        os.close(fd)
    if os.path.isdir("/dev/shm"):
        kernel.mount(FOLDER, "/dev/shm", "", kernel.MS_BIND)
    try:
        kernel.mount("proc", "/proc", "proc", nodev | kernel.MS_NOEXEC)
    except OSError:  # /proc is masked here: better none than the zygote's
        kernel.mount("tmpfs", "/proc", "tmpfs", nodev | kernel.MS_RDONLY, "size=4096,nr_inodes=2")


def tasks_of_user() -> int:
    """Processes and threads of this process's user that are in sight."""
    found = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):  # it has just ended
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                found += os.stat(f"/proc/{name}/task").st_nlink - 2
    return found


def set_limits(limits: Limits, base_bytes: int, beside: int) -> None:
    """Resource limits, soft and hard alike, so that none can be raised but the stack's, as programs that recurse do.

    base_bytes  address space that the interpreter takes without the program
    beside      of the same user, processes and threads that are not the job's, and are counted with them all the same;
                there may soon be twice as many
    """
    cpu = max(1, math.ceil(limits["cpu_s"]))
    bounded = limits["bound_address_space"]
    space = base_bytes + (limits["memory_mb"] << 20) if bounded else resource.RLIM_INFINITY
    # The kernel sends SIGXCPU at the soft limit, which pid 1 and a handler may ignore, and SIGKILL at the hard one.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    for which, value in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, limits["output_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"] + 2 * beside),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 1),  # as in the keeper
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_STACK, 64 << 20),
    ):
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            value = hard if value == resource.RLIM_INFINITY else min(value, hard)
        # A stack is address space and memory, which are bounded as such.
        resource.setrlimit(which, (value, hard if which == resource.RLIMIT_STACK else value))


class Restrictions:
    """What is the same for every job of a zygote, made once: its system call filter and its Landlock rules."""

    def __init__(self, confinement: str, readable: list[str]) -> None:
        """OSError if this kernel has no Landlock, or not enough of it, where Landlock isolates."""
        self._filter = b""
        self.descriptors: list[int] = []  # what `lock` needs of them
        if confinement == "landlock":
            self.descriptors = [kernel.landlock_rules(readable, _WRITABLE)]
            self._filter = seccomp.behind_landlock()
        elif confinement == "namespaces":
            self._filter = seccomp.with_namespaces()

    def lock(self, first: int) -> None:
        """A job's last step: no capabilities, no new privileges, a filter, and Landlock where it isolates.

        first: the number that the first of `descriptors` has in the job; they are closed.
        """
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # so that its memory can be measured from outside
        if self.descriptors:
            kernel.landlock_restrict(first)
            os.close(first)
        if self._filter:
            kernel.load_seccomp(seccomp.for_job(self._filter, os.getpid()))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
