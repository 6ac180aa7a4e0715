"""Processes that can be killed without loss: fresh interpreters that end with their parent."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_BOOTSTRAP = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from {module} import {function}; {function}(**start)"
)


def start_python(
    main: str, arguments: Mapping[str, Any], stdin: int, pass_fds: Sequence[int], isolated: bool = False
) -> subprocess.Popen[bytes]:
    """Start an interpreter that calls `module:function`, with JSON values as keyword arguments. OSError if it cannot.

    Neither forked, which is unsafe beside the threads of Ray, torch or vLLM, nor multiprocessing's spawn, which imports
    the parent's main module. It finds the same modules as this one. Nobody reads its stdout; Ctrl-C does not reach it.

    isolated  ignore Python's environment variables
    """
    module, _, function = main.partition(":")
    start = {"path": [os.path.abspath(entry) for entry in sys.path], **arguments}
    bootstrap = _BOOTSTRAP.format(module=module, function=function)
    return subprocess.Popen(
        [sys.executable, "-I" if isolated else "-P", "-c", bootstrap, json.dumps(start)],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        pass_fds=pass_fds,
        start_new_session=True,
    )


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
