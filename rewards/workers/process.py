"""The inside of a worker process: reads requests from its channel, and answers each there; JSON, one packet each.

Started by `rewards.workers.worker` only. The handler is a function `handle(request) -> response` of JSON values.
The parent bounds what a request may cost; here are only the bounds that the kernel keeps if the parent cannot.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import warnings
from collections.abc import Callable

from reprise.core.plugins import resolve
from reprise.core.processes import die_with

EXIT_MEMORY = 77  # by this exit code the parent knows that the address space was used up
MAX_REQUEST_BYTES = 60_000  # waits in the channel of an idle worker, so sending it does not block


def main(handler: str, warm_up: object, fd: int, parent: int, cpu_s: float, memory_mb: int) -> None:
    """Serve requests until the channel ends.

    handler    dotted path of the function
    warm_up    a request handled before the first real one: it loads what is loaded lazily and shows that all works
    fd         this side of the channel
    parent     pid of the process whose end ends this one
    cpu_s      CPU seconds a request may use
    memory_mb  bound of the address space, MiB
    """
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    logging.disable(logging.CRITICAL)  # what a policy wrote belongs into verdicts, not into logs
    warnings.simplefilter("ignore")
    with socket.socket(fileno=fd) as channel:
        channel.set_inheritable(False)
        try:
            handle = resolve(handler, "the worker's handler")
            handle(warm_up)
        except Exception as error:
            _send(channel, {"error": _describe(error)})
            raise
        _send(channel, {"ready": True})
        while request := channel.recv(MAX_REQUEST_BYTES):
            _limit_cpu(cpu_s)
            _send(channel, _respond(handle, json.loads(request)))


def _respond(handle: Callable[[object], object], request: object) -> dict[str, object]:
    try:
        return {"value": handle(request)}
    except MemoryError:
        os._exit(EXIT_MEMORY)  # what state the libraries are in is unknown: a new process takes over
    except Exception as error:  # noqa: BLE001 - reported to the parent as an infra error
        return {"error": _describe(error)}


def _send(channel: socket.socket, message: dict[str, object]) -> None:
    channel.send(json.dumps(message).encode())


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _limit_cpu(cpu_s: float) -> None:
    """Let the kernel end this process (SIGXCPU) a little after the parent should have; it counts whole seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + cpu_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
