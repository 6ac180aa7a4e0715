"""One worker of a pool: a process that is started when it is needed, asked, watched and killed."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reprise.core.processes import Child, ending, python_command
from reprise.rewards.workers.process import EXIT_MEMORY
from reprise.sandbox import processes

START_BACK_OFF_S = 0.2  # before the second attempt; doubles with each further one
MAX_BACK_OFF_S = 10.0
_TICK_S = 0.02  # how often the CPU time of a worker beyond its first limit is looked at
_EXIT_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request.

    cpu_s      CPU seconds it may use
    wall_s     seconds it may take; far more than `cpu_s`, because a busy machine is not the request's fault
    memory_mb  MiB of address space of a worker, its libraries included
    start_s    seconds a worker may take to start
    """

    cpu_s: float
    wall_s: float
    memory_mb: int
    start_s: float = 120.0

    def __post_init__(self) -> None:
        if self.wall_s < self.cpu_s:
            raise ValueError(f"wall_s must be at least cpu_s ({self.cpu_s:g}), not {self.wall_s:g}")


class Failure(StrEnum):
    """Why a request has no response: three kinds of its own fault, and INFRA."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    INFRA = "infra"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: the handler's response (`failure` None), or why there is none."""

    value: Any = None
    failure: Failure | None = None
    detail: str = ""
    died: bool = False  # a worker died on it, so that it deserves a second run
    raised: bool = False  # the handler raised an exception on it, whatever that says of the request


class NoStart(Exception):
    """The process does not start; the message is the cause."""


class Worker:
    """One process at a time around one handler. Not thread-safe, but for `interrupt`.

    The kernel ends the process with the *thread* that called `start` or `run`.
    """

    def __init__(self, handler: str, warm_up: object, limits: Limits) -> None:
        """handler: dotted path of `handle(request) -> response`, JSON values both. Starts nothing."""
        self.served = 0  # requests that the process was ever given
        self.deaths = 0  # processes that ended, for whatever reason
        self._limits = limits
        self._arguments = {"handler": handler, "warm_up": warm_up, "cpu_s": limits.cpu_s, "memory_mb": limits.memory_mb}
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self, attempts: int) -> None:
        """Start the process if none waits for requests, until it is ready. NoStart if all attempts fail."""
        if self._is_idle():
            return
        cause = ""
        for attempt in range(attempts):
            if attempt:
                time.sleep(min(START_BACK_OFF_S * 2 ** (attempt - 1), MAX_BACK_OFF_S))
            try:
                self._child = Child(self._command)
            except OSError as error:  # no memory or no process left
                cause = str(error)
                continue
            try:
                message = self._child.receive(self._limits.start_s)
            except (OSError, EOFError):
                message = {}
            if message is not None and "ready" in message:
                return
            late = f"was not ready within {self._limits.start_s:g} s" if message is None else ""
            cause = (message or {}).get("error") or self.end(late)[1]
            self.end()
        raise NoStart(cause)

    def run(self, request: bytes, attempts: int) -> Outcome:
        """What comes of a request, within the limits. NoStart if it could not be given to any process."""
        self.start(attempts)
        assert self._child is not None
        self.served += 1
        begun, cpu_before, wait_s = time.monotonic(), self._cpu_s(), self._limits.cpu_s  # at most that in this time
        try:
            self._child.send(request)
            while (message := self._child.receive(wait_s)) is None:
                cpu_s, wall_s = self._cpu_s() - cpu_before, time.monotonic() - begun
                if cpu_s >= self._limits.cpu_s:
                    return self._died(f"used {cpu_s:.1f} s of CPU", Failure.TIMEOUT)
                if wall_s >= self._limits.wall_s:
                    # Late without much CPU is the machine's doing; late with about half of its due is the request's.
                    fault = Failure.TIMEOUT if cpu_s >= self._limits.cpu_s / 2 else Failure.INFRA
                    return self._died(f"took {self._limits.wall_s:g} s with {cpu_s:.1f} s of CPU", fault)
                wait_s = _TICK_S
        except (OSError, EOFError):
            return self._died()
        if "value" in message:
            return Outcome(message["value"])
        return Outcome(failure=Failure.INFRA, detail=f"the handler raised {message.get('error')}", raised=True)

    def interrupt(self) -> None:
        """End what it does now, from another thread."""
        if (child := self._child) is not None:
            child.kill()

    def end(self, killed: str = "") -> tuple[Failure, str]:
        """End the process, if there is one: at once if there is a reason (`killed`), else after a moment to end by
        itself. Whose fault its end was if it did, and how it ended."""
        child, self._child, self.served = self._child, None, 0
        if child is None:
            return Failure.INFRA, killed
        self.deaths += 1
        code = child.end(0.0 if killed else _EXIT_GRACE_S)
        return _fault(code), killed or ("closed its channel or sent nonsense" if code is None else ending(code))

    def _died(self, killed: str = "", fault: Failure | None = None) -> Outcome:
        of_itself, how = self.end(killed)
        return Outcome(failure=fault or of_itself, detail=how, died=True)

    def _is_idle(self) -> bool:
        """Whether there is a process that waits for a request; one that is dead or speaks unasked is ended."""
        try:
            if self._child is None or self._child.receive(0) is None:
                return self._child is not None
            self.end("spoke without being asked")
        except (OSError, EOFError):
            self.end()
        return False

    def _command(self, fd: int) -> list[str]:
        arguments = self._arguments | {"fd": fd, "parent": os.getpid()}
        return python_command("reprise.rewards.workers.process:main", arguments, "-I")  # -I: no variables of Python's

    def _cpu_s(self) -> float:
        """CPU seconds of the process itself since its start; 0 if it is gone."""
        usage = processes.usage(self._child.pid) if self._child else None
        return usage.cpu_s - usage.waited_s if usage else 0.0


def _fault(code: int | None) -> Failure:
    """Whose fault a death is that the pool did not cause; None: it had to be killed."""
    if code == EXIT_MEMORY:
        return Failure.MEMORY
    if code == -signal.SIGXCPU:
        return Failure.TIMEOUT
    # From outside. The address space is bounded, so the kernel's out-of-memory killer comes for the machine's state.
    if code is not None and -code in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return Failure.INFRA
    return Failure.CRASH
