"""The parent's handle on one worker process: start, send, read, measure, kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from reprise.rewards.workers.process import EXIT_MEMORY

MAX_RESPONSE_BYTES = 1 << 20
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_EXIT_GRACE_S = 1.0

# A fresh interpreter: neither forked (unsafe beside the threads of Ray, torch or vLLM) nor multiprocessing's spawn,
# which imports the parent's main module. -I keeps Python's variables out; the module path is handed over as it is here.
_BOOTSTRAP = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from reprise.rewards.workers.process import main; main(**start)"
)


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


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended: by itself (`exit_code`), by a signal, and why the parent `killed` it if it did."""

    exit_code: int | None
    signal: int | None
    killed: str = ""

    @property
    def out_of_memory(self) -> bool:
        return self.exit_code == EXIT_MEMORY

    def __str__(self) -> str:
        if self.killed:
            return self.killed
        return f"signal {signal.Signals(self.signal).name}" if self.signal else f"exit code {self.exit_code}"


class WorkerHandle:
    """One worker process. `request` is what it works on now (None: nothing), `served` how many it was ever given."""

    def __init__(self, handler: str, warm_up: Any, limits: Limits) -> None:
        """Start the process, which sends `{"ready": true}` when it can take requests. OSError if it cannot start."""
        self.ready = False
        self.start_error = ""
        self.request: int | None = None
        self.served = 0
        self._limits = limits
        self._buffer = b""
        self._cpu_before = 0.0
        self.fd, result_fd = os.pipe()
        start = {
            "path": [os.path.abspath(entry) for entry in sys.path],
            "handler": handler,
            "warm_up": warm_up,
            "result_fd": result_fd,
            "parent": os.getpid(),
            "cpu_s": limits.cpu_s,
            "memory_mb": limits.memory_mb,
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOTSTRAP, json.dumps(start)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(result_fd,),
                start_new_session=True,  # Ctrl-C is for the parent, which then closes the pool
            )
        except OSError:
            os.close(self.fd)
            raise
        finally:
            os.close(result_fd)
        os.set_blocking(self.fd, False)
        self.deadline = time.monotonic() + limits.start_s

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: int, line: bytes) -> None:
        """Give the request to a ready, idle worker. Raises BrokenPipeError if it is dead."""
        assert self._process.stdin is not None
        self.request, self.served = number, self.served + 1
        self._cpu_before = self._cpu_time()
        self.deadline = time.monotonic() + self._limits.wall_s
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def read(self) -> dict[str, Any] | None:
        """The next message if a whole one has arrived. EOFError at the end of the pipe, or of what makes sense."""
        try:
            chunk = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return None
        self._buffer += chunk
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            if not chunk or len(self._buffer) > MAX_RESPONSE_BYTES:
                raise EOFError
            return None
        self._buffer = rest
        try:
            message = json.loads(line)
        except ValueError as error:
            raise EOFError from error
        if not isinstance(message, dict) or rest:  # one message at a time: there is no question to a second answer
            raise EOFError
        return message

    def cpu_used(self) -> float:
        """CPU seconds spent on the current request."""
        return self._cpu_time() - self._cpu_before

    def check_at(self) -> float:
        """When (`time.monotonic`) a limit may first be reached; CPU time is at most wall time."""
        if self.request is None:
            return self.deadline
        return min(self.deadline, self.deadline - self._limits.wall_s + self._limits.cpu_s)

    def end(self, killed: str = "") -> Death:
        """Kill the process (at once if the parent has a reason, else after a moment to exit by itself) and reap it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was dead already
            self._process.stdin.close()
        if not killed:
            try:
                self._process.wait(_EXIT_GRACE_S)
            except subprocess.TimeoutExpired:
                killed = "closed its pipe or sent nonsense"
        self._process.kill()
        code = self._process.wait()
        os.close(self.fd)
        return Death(code if code >= 0 else None, -code if code < 0 else None, killed)

    def _cpu_time(self) -> float:
        """CPU seconds of the process since its start; 0 if it is gone."""
        try:
            with open(f"/proc/{self._process.pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS  # utime and stime, see proc(5)
