"""Handlers for worker pools that do what a checker should not; each request names what."""

import os
import signal
import time
from pathlib import Path
from typing import Any


def handle(request: dict[str, Any]) -> Any:
    what = request["do"]
    if what == "echo":
        return request["value"]
    if what == "pid":
        return os.getpid()
    if what == "spin":  # in C, holding the interpreter's lock
        return len(str(7 ** (7**9)))
    if what == "sleep":
        time.sleep(1000)
    if what == "eat memory":
        return len([0] * (1 << 34))
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "be killed from outside":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die once":
        marker = Path(request["marker"])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return "second time lucky"
    if what == "babble":
        for fd in range(3, 1024):
            try:
                os.write(fd, b'{"value": "fake"}\n{"value": "again"}\n')
            except OSError:
                continue
    if what == "babble and stay":
        for fd in range(3, 1024):
            try:
                os.write(fd, b"nonsense")
            except OSError:
                continue
        time.sleep(1000)
    if what == "raise":
        raise KeyError("no such thing")
    return None


def refuse_to_start(request: Any) -> Any:
    raise ImportError("the library is not there")


def vanish_at_start(request: Any) -> Any:
    os._exit(3)
