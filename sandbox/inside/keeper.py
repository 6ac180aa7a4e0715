"""The process between a slot and its sandbox: builds the box, reaps its processes, and dies with its owner.

Runs outside the box, as the owner's user. It
- becomes the reaper of orphans, so that bubblewrap leaves no zombie behind,
- as root gives the box an unprivileged user of its own, always, and before that makes the interpreter's folders
  reachable for that user in a mount namespace of the box alone (a Python below /root is not, elsewhere),
- ends the box when stdin, the pipe from its owner, ends; a killed owner cannot help ending it,
- puts the box into its cgroup, if it has one, stays outside, and removes it with the box.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import stat
import sys
import time
from typing import NoReturn

from . import kernel

_TRIES, _PAUSE_S = 500, 0.002  # to remove a cgroup


def main(
    argv: list[str],
    control_fd: int,
    uid: int | None,
    reachable: list[str],
    needed: list[str],
    environment: dict[str, str],
    cgroup: str,
) -> int:
    """Start `argv` and watch it. Its exit code.

    uid        the user to become, if any, for whom the folders above `reachable` are opened
    needed     what that user must be able to read; said by name if not
    cgroup     the box's own, an empty folder of the kernel's; "" for none
    """
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _become(argv, uid, reachable, needed, environment, cgroup)
    os.close(control_fd)
    pidfd = os.pidfd_open(child)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    asked = pidfd not in dict(poll.poll())
    if asked:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    _end_orphans()
    if asked and cgroup:  # else its owner wants to know first what it died of
        _remove(cgroup)
    return os.waitstatus_to_exitcode(status)


def _become(
    argv: list[str],
    uid: int | None,
    reachable: list[str],
    needed: list[str],
    environment: dict[str, str],
    cgroup: str,
) -> NoReturn:
    try:
        keeper = os.getppid()
        os.setsid()
        # No core is that small: none is written, nor handed to a program of the machine's, which 0 would not stop.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        os.umask(0o022)  # a stricter one of the owner's would close the box's own folders to its user
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        if cgroup:
            with contextlib.suppress(OSError), open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")  # who may make a cgroup need not be allowed to move into it: then it counts nothing
        if uid is not None:
            _make_reachable(reachable, uid)
            _change_user(uid)
            _check_readable(needed, uid)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
        if os.getppid() != keeper:
            os._exit(1)
        os.execve(argv[0], argv, environment)
    except BaseException as error:  # noqa: BLE001 - written to stderr, which the owner reads
        print(f"keeper: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def _make_reachable(paths: list[str], uid: int) -> None:
    """In mounts of our own: cover each folder that others may not enter, and bind what is wanted through the cover."""
    closed: dict[str, list[str]] = {}
    for path in paths:
        if (barrier := _barrier(path)) is not None:
            closed.setdefault(barrier, []).append(path)
    if not closed:
        return
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
    except PermissionError as error:
        barrier, (path, *_) = next(iter(closed.items()))
        raise PermissionError(
            f"programs run as user {uid}, never as root, who may not enter {barrier}, in which {path} lies, and root "
            f"may not mount here ({error}): chmod go+x {barrier}, or install Python and reprise elsewhere"
        ) from error
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    for barrier, wanted in closed.items():
        sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in wanted}
        kernel.mount("tmpfs", barrier, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
        for path in sorted(wanted):
            if os.path.exists(path):  # below one that is bound already
                continue
            os.makedirs(path, mode=0o755)
            kernel.mount(f"/proc/self/fd/{sources[path]}", path, "", kernel.MS_BIND | kernel.MS_REC)


def _barrier(path: str) -> str | None:
    """The outermost folder above `path` that users other than its owner may not enter."""
    parts = os.path.abspath(path).split("/")
    for end in range(2, len(parts)):
        folder = "/".join(parts[:end])
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return folder
    return None


def _change_user(uid: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PermissionError(
            f"programs run as user {uid}, never as root, and root may not become another user here ({error}): give the "
            "container its default capabilities and a range of users, or start it as another user than root"
        ) from error


def _check_readable(paths: list[str], uid: int) -> None:
    for path in paths:
        if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
            raise PermissionError(
                f"programs run as user {uid}, never as root, who may not read {path}: was it installed under a strict "
                f"umask? chmod -R go+rX on its folder helps"
            )


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


def _remove(cgroup: str) -> None:
    for _ in range(_TRIES):
        try:
            os.rmdir(cgroup)
        except FileNotFoundError:
            return
        except OSError:  # processes of a pid namespace end a little later than its first
            time.sleep(_PAUSE_S)


def _children() -> list[int]:
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without that file: those that are left end with the mount and pid namespaces they hold
        return []
