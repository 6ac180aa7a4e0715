"""What a probe tries from inside a backend before it is used: the ways out that have been seen, each in a line.

What changes something outside is tried on a canary: a file that belongs to the very user a job runs as, so that the
isolation alone, not the file's owner, protects it. Its owner looks at it afterwards.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Each line of the result is True if the attempt was held back.
SOURCE = """
import ctypes, fcntl, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def held_back(action, *arguments):
    try:
        result = action(*arguments)
    except OSError:
        return True
    return isinstance(result, int) and result < 0  # of libc
def wide_pipe():
    fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)
def is_open(fd):
    return not held_back(os.fstat, fd)
def attempts(canary, owner, root):
    reads = {
        "read a file of its owner": held_back(open, canary),
        "list a folder of its owner": held_back(os.listdir, os.path.dirname(canary)),
    }
    for action, *arguments in (  # may work on a file of its own: the owner looks
        (open, canary + ".written", "w"), (os.truncate, canary, 0), (os.chmod, canary, 0o4777), (os.utime, canary, (0, 0)),
        (os.setxattr, canary, "user.reprise", b"x"), (os.link, canary, canary + ".link"), (os.rename, canary, canary + ".new"),
    ):
        held_back(action, *arguments)
    return reads | {
        "be root": not root or os.getuid() != 0,
        "use a descriptor that is not its own": not any(map(is_open, range(4, 4096))),
        "open a socket": held_back(socket.socket) and held_back(socket.socketpair, socket.AF_INET),
        "send datagrams": held_back(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM),
        "signal a process outside": held_back(os.kill, owner, 0),
        "look into a process outside": held_back(open, f"/proc/{owner}/environ"),
        "change the turn of a process outside": held_back(os.setpriority, os.PRIO_PROCESS, owner, 19),
        "trace": held_back(libc.ptrace, 16, owner, 0, 0),
        "make a user namespace": held_back(libc.unshare, 0x10000000),
        "share memory that no limit counts": held_back(mmap.mmap, -1, 4096) and held_back(os.memfd_create, "x"),
        "keep memory in pipes": held_back(wide_pipe) and held_back(libc.vmsplice, -1, 0, 0, 0) and ctypes.get_errno() == 1,
        "share memory segments": held_back(libc.shmget, 0, 4096, 0o1600),
        "watch files": held_back(libc.inotify_init),
    }
"""  # noqa: E501 - a line an attempt


class Canary:
    """A file outside, in `folder`, which the probe makes and removes."""

    def __init__(self, folder: Path, user: int | None) -> None:
        """user: the id that jobs run as; None: this one."""
        self.path = folder / "canary"
        self.path.write_text("readable by all", encoding="ascii")
        self.path.chmod(0o644)
        folder.chmod(0o777)
        if user is not None:
            os.chown(self.path, user, user)
        self._before = self._state()

    def changes(self) -> list[str]:
        """What became of it and its folder, in words."""
        names = sorted(path.name for path in self.path.parent.iterdir())
        found = ["write a file outside"] if names != [self.path.name] else []
        after = self._state()
        return found + [
            f"change {what} of a file outside" for what, value in self._before.items() if after.get(what) != value
        ]

    def _state(self) -> dict[str, object]:
        with contextlib.suppress(FileNotFoundError):
            about = self.path.stat()
            return {
                "the mode": about.st_mode,
                "the size": about.st_size,
                "the time": about.st_mtime_ns,
                "attributes": os.listxattr(self.path),
            }
        return {}
