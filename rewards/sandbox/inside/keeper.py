"""The process between a slot and its sandbox: builds the box, buries its dead, and dies with its owner.

Runs outside the box, as the owner's user. It
- becomes the reaper of orphans, so that bubblewrap leaves no zombie behind,
- as root gives the box an unprivileged user of its own, and before that makes the interpreter's folders reachable for
  that user in a mount namespace of the box alone (a Python below /root is not, elsewhere); where root may not mount, as
  in most containers, a box of Landlock keeps the user root, which without capabilities is a user like others,
- ends the box when stdin, the pipe from its owner, ends; a killed owner cannot help ending it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
from typing import NoReturn

from . import kernel


def main(
    argv: list[str],
    control_fd: int,
    uid: int | None,
    may_stay_root: bool,
    reachable: list[str],
    environment: dict[str, str],
) -> int:
    """Start `argv` (as user `uid`, if given, to whom `reachable` is made readable) and watch it. Its exit code."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _become(argv, uid, may_stay_root, reachable, environment)
    os.close(control_fd)
    pidfd = os.pidfd_open(child)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    if pidfd not in dict(poll.poll()):
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    _end_orphans()
    return os.waitstatus_to_exitcode(status)


def _become(
    argv: list[str], uid: int | None, may_stay_root: bool, reachable: list[str], environment: dict[str, str]
) -> NoReturn:
    try:
        keeper = os.getppid()
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        if uid is not None and _make_reachable(reachable, may_stay_root):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
        if os.getppid() != keeper:
            os._exit(1)
        os.execve(argv[0], argv, environment)
    except BaseException as error:  # noqa: BLE001 - told on stderr, which the owner reads
        print(f"keeper: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def _make_reachable(paths: list[str], may_fail: bool) -> bool:
    """In mounts of our own: cover each folder that others may not enter, and bind what is wanted through the cover.

    False if that is not allowed here, and `may_fail`.
    """
    closed: dict[str, list[str]] = {}
    for path in paths:
        if (barrier := _barrier(path)) is not None:
            closed.setdefault(barrier, []).append(path)
    if not closed:
        return True
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
    except PermissionError:
        if may_fail:
            return False
        raise
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    for barrier, wanted in closed.items():
        sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in wanted}
        kernel.mount("tmpfs", barrier, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
        for path in sorted(wanted):
            if os.path.exists(path):  # below one that is bound already
                continue
            os.makedirs(path, mode=0o755)
            kernel.mount(f"/proc/self/fd/{sources[path]}", path, "", kernel.MS_BIND | kernel.MS_REC)
    return True


def _barrier(path: str) -> str | None:
    """The outermost folder above `path`, or itself, that users other than its owner may not enter."""
    parts = os.path.abspath(path).split("/")
    for end in range(2, len(parts) + 1):
        folder = "/".join(parts[:end])
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return folder
    return None


def _end_orphans() -> None:
    """Whatever came to us when its parent died: none of it may stay."""
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without that file: those that are left end with the mount and pid namespaces they hold
        return []
