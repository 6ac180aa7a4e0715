"""Streams for users, which never end a run.

What a command prints may meet a console that is not UTF-8, a pipe whose reader has gone, a full disk or no stream at
all. None of that is a reason to lose a run, so all of it is dealt with here, once for every command.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from reprise.core.errors import UserError

# What our own lines are written with, for consoles that have less than UTF-8.
_IN_ASCII = dict(zip("·–—−◀●◉○▁▂▃▄▅▆▇█─━╸╺│╭╮╰╯\N{NO-BREAK SPACE}", "|---<*>o_.-~=+*#----|++++ ")) | {
    "…": "...",
    "→": "->",
}
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_IN_ASCII.get(c, "?") for c in error.object[error.start : error.end]), error.end


codecs.register_error("reprise.ascii", _in_ascii)


class _Forgiving:
    """A text stream that drops what it cannot write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self._failed(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _failed(self, error: Exception) -> None:
        """Nobody reads any more: what is still buffered goes nowhere, or Python would complain of it at its end."""
        if isinstance(error, OSError) and error.errno in _GONE:
            self.silence()

    def silence(self) -> None:
        with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def end(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.silence()


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """While it lasts, no line written to stdout or stderr raises: characters that they lack are replaced, and lines
    that nobody reads, or that a full disk does not take, are dropped."""
    before = sys.stdout, sys.stderr
    wrapped = [_forgiving(stream) for stream in before]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in wrapped)
    try:
        yield
    finally:
        for stream in wrapped:
            stream.end()
        sys.stdout, sys.stderr = before


def _forgiving(stream: TextIO | None) -> _Forgiving:
    if stream is None:  # the process was started without it
        stream = io.StringIO()
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        with suppress(OSError, ValueError):
            stream.reconfigure(errors="reprise.ascii")
    return _Forgiving(stream)


@contextmanager
def strict_stdout() -> Iterator[TextIO]:
    """stdout for what programs read (a recipe, a plan as JSON): there a line that is lost is an error."""
    stream = sys.stdout
    inner = stream._stream if isinstance(stream, _Forgiving) else stream
    if inner.encoding is None:
        raise UserError("stdout is closed, so there is nowhere to write to")
    yield inner
    inner.flush()
