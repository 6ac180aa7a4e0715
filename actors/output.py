"""Where an actor's output goes: a file of its own, which tells what its libraries said when it fails."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def log_file(folder: Path, actor: str) -> Path:
    """The log of the actor of this name: `engine-0.log` of `engine 0`."""
    return folder / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', actor)}.log"


def keeping_output(cls: type[T], log: Path) -> type[T]:
    """The actor class whose process writes its stdout and stderr to `log`, and so do all processes that it starts."""

    class Kept(cls):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: object) -> None:
            append_output(log)
            super().__init__(*arguments)

    Kept.__name__, Kept.__qualname__, Kept.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return Kept


def append_output(log: Path) -> None:
    """From here on this process, and what it starts, writes stdout and stderr to `log`, after what is there already.

    Where the file cannot be made the output stays where it is: in the logs of Ray's session.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        print(f"this actor's log {log} cannot be written: {error}", file=sys.stderr, flush=True)
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    print(f"{_HEADER} {os.getpid()} on {socket.gethostname()}, {time.strftime('%Y-%m-%d %H:%M:%S')}")


def last_process(text: str) -> str:
    """The part of a log that the actor's last process wrote: a restarted one appends to the same file."""
    return text[text.rfind(f"{_HEADER} ") :] if f"{_HEADER} " in text else text


_HEADER = "---- process"
