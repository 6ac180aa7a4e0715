"""The inside of a worker process: reads requests from stdin, answers each with one JSON line on its own pipe.

Started by `rewards.workers.handle` only. The handler is a function `handle(request) -> response` of JSON values.
The parent bounds what a request may cost; here are only the bounds that the kernel keeps if the parent cannot.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from reprise.core.plugins import resolve

EXIT_MEMORY = 77  # by this exit code the parent knows that the address space was used up
_PR_SET_PDEATHSIG = 1


def main(handler: str, warm_up: Any, result_fd: int, parent: int, cpu_s: float, memory_mb: int) -> None:
    """Serve requests until stdin ends.

    handler    dotted path of the function
    warm_up    a request handled before the first real one: it loads what is loaded lazily and shows that all works
    result_fd  the pipe for responses; nothing else is written to it
    parent     pid of the process whose end ends this one
    cpu_s      CPU seconds a request may use
    memory_mb  bound of the address space, MiB
    """
    _die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    logging.disable(logging.CRITICAL)  # what a policy wrote belongs into verdicts, not into logs
    warnings.simplefilter("ignore")
    with os.fdopen(result_fd, "w", encoding="ascii") as results:
        try:
            handle = resolve(handler, "the worker's handler")
            handle(warm_up)
        except Exception as error:
            _send(results, {"error": _describe(error)})
            raise
        _send(results, {"ready": True})
        for line in sys.stdin.buffer:
            _limit_cpu(cpu_s)
            _send(results, _respond(handle, json.loads(line)))


def _respond(handle: Callable[[Any], Any], request: Any) -> dict[str, Any]:
    try:
        return {"value": handle(request)}
    except MemoryError:
        os._exit(EXIT_MEMORY)  # what state the libraries are in is unknown: a new process takes over
    except Exception as error:  # noqa: BLE001 - reported to the parent as an infra error
        return {"error": _describe(error)}


def _send(results: TextIO, message: dict[str, Any]) -> None:
    results.write(json.dumps(message) + "\n")
    results.flush()


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _die_with(parent: int) -> None:
    """End with the parent even in the middle of a computation that never looks at stdin again."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above took effect
        os._exit(1)


def _limit_cpu(cpu_s: float) -> None:
    """Let the kernel end this process (SIGXCPU) a little after the parent should have; it counts whole seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + cpu_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
