"""What verifiers' processes print: a terminal gets none of it, for it may be a policy's text, and without end."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from reprise.core.printable import printable_lines

MOST_BYTES = 1 << 20  # of a file; what is printed beyond is lost
_LAST_BYTES, _LAST_LINES = 4000, 20
_JOIN_S = 1.0


class Printed:
    """Takes what processes print, however much it is. Safe to use from any thread.

    path   the file that gets it, made when there is something to write; None: nothing is kept but the end
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.is_empty = True
        self._end = b""
        self._lock = threading.Lock()
        self._readers: list[threading.Thread] = []

    def pipe(self) -> int:
        """A descriptor for a process to print to; whoever starts the process closes it here."""
        ours, theirs = os.pipe()
        self._readers.append(threading.Thread(target=self._read, args=(ours,), daemon=True))
        self._readers[-1].start()
        return theirs

    def last_lines(self) -> str:
        """The end of it, made safe to show; empty if nothing was printed. Call it when the processes have ended."""
        for reader in self._readers:
            reader.join(_JOIN_S)
        return printable_lines("\n".join(self._end.decode(errors="replace").strip().splitlines()[-_LAST_LINES:]))

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                with self._lock:
                    self.is_empty = False
                    self._end = (self._end + data)[-_LAST_BYTES:]
                    self._keep(data)

    def _keep(self, data: bytes) -> None:
        if self.path is None:
            return
        with suppress(OSError), self.path.open("ab") as file:  # a full disk costs no verdict
            file.write(data[: max(0, MOST_BYTES - file.tell())])
