"""A user id that no other slot on this machine has, so that limits on processes count for one job alone."""

from __future__ import annotations

import errno
import socket

_TRIES = 1000


class UserId:
    """Holds the first free id at or above `base`, until it is released or this process ends, however it ends.

    An abstract socket is the lock: it leaves nothing behind.
    """

    def __init__(self, base: int) -> None:
        for number in range(base, base + _TRIES):
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(f"\0reprise-sandbox-uid-{number}")
            except OSError as error:
                lock.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            self.number = number
            self._lock = lock
            return
        raise RuntimeError(f"all user ids from {base} to {base + _TRIES - 1} are in use by other sandboxes")

    def release(self) -> None:
        self._lock.close()
