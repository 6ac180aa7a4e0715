"""Processes that can be killed without loss: fresh interpreters that end with their parent, and a channel to them."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_MESSAGE_BYTES = 1 << 18  # more than a packet of the kernel's default size may have
_PR_SET_PDEATHSIG = 1
_BOOTSTRAP = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from {module} import {function}; {function}(**start)"
)

Message = dict[str, Any]  # a JSON object


def python_command(main: str, arguments: Mapping[str, object], *flags: str) -> list[str]:
    """The command line of an interpreter that calls `module:function` with JSON values as keyword arguments.

    A fresh one is neither forked, which is unsafe beside the threads of Ray, torch or vLLM, nor multiprocessing's
    spawn, which imports the parent's main module. It finds the same modules as this one.
    """
    module, _, function = main.partition(":")
    start = {"path": [os.path.abspath(entry) for entry in sys.path], **arguments}
    bootstrap = _BOOTSTRAP.format(module=module, function=function)
    return [sys.executable, "-P", *flags, "-c", bootstrap, json.dumps(start)]


class Child:
    """A process that can be killed at any time, and a channel to it: JSON objects, one a packet. Not thread-safe.

    It is asked to end by the end of its stdin and of the channel. What it does when its parent is killed is up to it.
    """

    def __init__(self, command: Callable[[int], Sequence[str]], stderr: int | None = None) -> None:
        """Start what `command` makes of the descriptor of its side of the channel. OSError if it cannot start."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command(theirs.fileno()),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except BaseException:
            self._channel.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """OSError if it is gone."""
        socket.send_fds(self._channel, [message], descriptors)

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None if there is none in time. OSError or EOFError if it is gone, or sends nonsense."""
        readable = select.poll()
        readable.register(self._channel, select.POLLIN)
        if not readable.poll(timeout_s * 1000):
            return None
        try:
            message = json.loads(self._channel.recv(MAX_MESSAGE_BYTES))
        except ValueError as error:  # it is empty at the end
            raise EOFError from error
        if not isinstance(message, dict):
            raise EOFError
        return message

    def exit_code(self, timeout_s: float) -> int | None:
        """Its exit code, if it ends by itself within the time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode

    def close(self) -> None:
        """Ask it to end. Nothing can be sent or received any more."""
        self._channel.close()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End it at once. May be called from any thread."""
        self._process.kill()

    def end(self, grace_s: float) -> int | None:
        """Ask it to end, kill it if it has not in `grace_s` seconds, and reap it. Its exit code; None if killed."""
        self.close()
        code = self.exit_code(grace_s)
        if code is None:
            self.kill()
            self._process.wait()
        return code


def die_with(parent: int) -> None:
    """End with the parent process even in the middle of a computation that never reads from it again.

    The kernel takes the end of the *thread* that started this process for the parent's.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above took effect
        os._exit(1)


def ending(code: int) -> str:
    """An exit code as `subprocess` gives it, in words: `signal SIGKILL` or `exit code 3`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
