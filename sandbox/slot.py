"""One slot of the sandbox: a zygote in its box, and one job at a time in it.

A job's streams are memory files, so no program can block on a full pipe or make its reader wait for an end that a
daemon holds up: they are read when the job's processes are gone. Deadline, CPU time and memory are watched from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import NoReturn

from reprise.core.printable import printable
from reprise.core.processes import Child, Message, ending
from reprise.sandbox import processes
from reprise.sandbox.base import Ending, Job, JobResult
from reprise.sandbox.box import Box, keeper_command
from reprise.sandbox.cgroups import Group, new_group
from reprise.sandbox.frames import Report, conclude, payload_of
from reprise.sandbox.meter import Meter
from reprise.sandbox.uids import UserId

START_DEADLINE_S = 60.0
_STOPPED_S = 1.0
_REPORT_S = 2.0  # a killed job's end must be reported within this, or the whole box is killed
_LAST_WORDS_S = 0.5
_CLOSE_S = 5.0


class SlotFailure(Exception):
    """The box could not be started, or died; it says nothing about a job."""


class BoxDied(SlotFailure):
    """It died with a job in it."""


class _OutOfMemory(BoxDied):
    """Its cgroup's memory ran out while the job was in it."""


@contextlib.contextmanager
def _streams(payload: bytes, stdin: bytes) -> Iterator[list[int]]:
    """Memory files: payload, stdin, stdout, stderr, result. SlotFailure if there is no space for them."""
    contents = {"payload": payload, "stdin": stdin, "stdout": b"", "stderr": b"", "result": b""}
    with contextlib.ExitStack() as opened:
        fds: list[int] = []
        try:
            for name, content in contents.items():
                fds.append(os.memfd_create(name, os.MFD_CLOEXEC))
                opened.callback(os.close, fds[-1])
                with open(fds[-1], "wb", closefd=False) as file:
                    file.write(content)
                os.lseek(fds[-1], 0, os.SEEK_SET)
        except OSError as error:
            raise SlotFailure(f"no space for a job's streams: {error}") from error
        yield fds


class Slot:
    """Starts its box when first needed and again when it has served its jobs, failed or died. Not thread-safe."""

    def __init__(self, box: Box, uid_base: int | None) -> None:
        """uid_base: as root, the lowest user id that the box may run as; None: as this user."""
        self._box, self._uid_base = box, uid_base
        self._uid: UserId | None = None
        self._keeper: Child | None = None
        self._retired: Child | None = None  # asked to end, and perhaps not gone yet
        self._errors = -1
        self._group: Group | None = None
        self._retired_group: Group | None = None
        self._zygote = 0
        self._base_bytes = 0
        self._ready = False
        self._served = 0
        self._in_use = False

    @property
    def keeper_pid(self) -> int | None:
        """The process that everything of this slot descends from."""
        return self._keeper.pid if self._keeper else None

    @property
    def user(self) -> int | None:
        """The user id that its jobs run as; None: this process's."""
        return self._uid.number if self._uid else None

    def start(self) -> None:
        """Start the box, without waiting until it is ready. SlotFailure if that fails at once."""
        if self._keeper is not None:
            return
        try:
            self._start()
        except OSError as error:
            raise SlotFailure(str(error)) from error

    def _start(self) -> None:
        if self._uid_base is not None and self._uid is None:
            self._uid = UserId(self._uid_base)
        with contextlib.ExitStack() as undo:
            self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
            undo.callback(os.close, self._errors)
            self._group = new_group()
            if self._group is not None and self._box.jobs == 1 and not self._group.bounds:
                # To enter a cgroup takes 15 ms of each job here: too much for a count of CPU time alone.
                self._group.remove()
                self._group = None
            if self._group is not None:
                undo.callback(self._group.remove)
            cgroup = str(self._group.path) if self._group else ""
            self._keeper = Child(lambda fd: keeper_command(self._box, fd, self.user, cgroup), self._errors)
            undo.pop_all()
        self._ready, self._served = False, 0

    def wait_ready(self, deadline_s: float = START_DEADLINE_S) -> None:
        """SlotFailure with the cause if the box is not ready in time."""
        self.start()
        if self._ready:
            return
        message = self._receive(deadline_s) or {}
        if not message.get("ready"):
            cause = message.get("failed") or self._why_it_died() or f"was not ready within {deadline_s:g} s"
            self.close()
            raise SlotFailure(str(cause))
        self._ready = True
        assert self._keeper is not None
        self._zygote = processes.tree(self._keeper.pid)[-1]
        usage = processes.usage(self._zygote)
        self._base_bytes = usage.resident if usage else 0
        if self._group is not None:
            self._group.settle()

    def run(self, job: Job) -> JobResult:
        """Run one job to its end. SlotFailure if the box failed; it starts anew with the next job."""
        self.wait_ready()
        nonce = os.urandom(16).hex()
        with _streams(payload_of(job, nonce), job.stdin) as streams:
            self._in_use = True
            try:
                if self._group is not None:
                    self._group.limit(job.limits)
                limits = {name: getattr(job.limits, name) for name in job.limits.__slots__}
                started = time.monotonic()
                self._send({"limits": limits | {"bound_address_space": not job.argv}}, streams)
                report = self._watch(job, started)
                written = [os.pread(fd, job.limits.output_bytes, 0) for fd in streams[2:]]
                result = conclude(job, nonce, report, *written)
            except BaseException:  # Ctrl-C, say: the job must not be in the way of the next
                self.close()
                raise
            finally:
                self._in_use = False
        self._served += 1
        if self._served >= self._box.jobs:
            self._retire()
            with contextlib.suppress(SlotFailure):
                self.start()  # beside whatever comes next
        return result

    def close(self) -> None:
        """End the box and everything in it, and wait until it is gone."""
        self._retire()
        self._reap()

    def _retire(self) -> None:
        """Ask the box to end. Its keeper ends it, beside whatever comes next."""
        self._reap()
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.close()
        os.close(self._errors)
        self._ready = False
        self._retired, self._retired_group, self._group = keeper, self._group, None

    def _reap(self) -> None:
        """Wait for the end of the box that was retired."""
        keeper, self._retired = self._retired, None
        if keeper is None:
            return
        keeper.end(_CLOSE_S)
        if self._retired_group is not None:
            self._retired_group.remove()

    def release(self) -> None:
        """Close, and give the user id back."""
        self.close()
        if self._uid is not None:
            self._uid.release()
            self._uid = None

    # --- watching a job -----------------------------------------------------------------------------------------------

    def _watch(self, job: Job, started: float) -> Report:
        """Until the job's end, which comes at the latest at its deadline."""
        deadline = started + job.limits.wall_s
        meter = Meter(self._zygote, self._base_bytes, self._group)
        killed: Ending | None = None
        delay_s: float | None = None
        looked = started
        try:
            while not (message := self._receive(max(0.0, min(meter.tick_s, deadline - time.monotonic())))):
                # Who did not come to look for so long was stopped, and the job perhaps with it: not its fault.
                deadline += max(0.0, time.monotonic() - looked - _STOPPED_S)
                looked = time.monotonic()
                killed = Ending.TIMEOUT if time.monotonic() >= deadline else meter.beyond(job.limits)
                if killed is not None:
                    delay_s = meter.delay_s()
                    self._send({"kill": True}, [])
                    message = self._receive(_REPORT_S)
                    break
        except _OutOfMemory:
            return Report(-signal.SIGKILL, meter.cpu_s(), time.monotonic() - started, Ending.MEMORY)
        cpu_s = meter.cpu_s()
        if not message:  # the job is killed with its box
            self.close()
            return Report(-signal.SIGKILL, cpu_s, time.monotonic() - started, killed, delay_s)
        if message["jail"]:
            raise SlotFailure(f"the job could not be locked in: {message['jail']}")
        cpu_s = max(cpu_s, float(message["cpu_s"]))
        return Report(int(message["status"]), cpu_s, time.monotonic() - started, killed, delay_s)

    # --- talking to the zygote ----------------------------------------------------------------------------------------

    def _send(self, message: Mapping[str, object], descriptors: list[int]) -> None:
        assert self._keeper is not None
        try:
            self._keeper.send(json.dumps(message).encode(), descriptors)
        except OSError as error:
            self._died(error)

    def _receive(self, timeout_s: float) -> Message | None:
        """The next message; None if there is none within the time. SlotFailure if the box is gone."""
        assert self._keeper is not None
        try:
            return self._keeper.receive(timeout_s)
        except OSError as error:
            self._died(error)
        except EOFError:
            self._died(None)

    def _died(self, error: OSError | None) -> NoReturn:
        cause = self._why_it_died() or str(error or "its socket ended")
        failure = BoxDied if self._in_use else SlotFailure
        if self._in_use and self._group is not None and self._group.out_of_memory():
            failure = _OutOfMemory
        self.close()
        raise failure(f"the box died: {cause}")

    def _why_it_died(self) -> str:
        """What the keeper, bubblewrap or the zygote said on stderr, and how the keeper ended."""
        assert self._keeper is not None
        code = self._keeper.exit_code(_LAST_WORDS_S)
        words = printable(os.pread(self._errors, 2000, 0).decode(errors="replace").strip(), 1000)
        return ": ".join(filter(None, ["" if code is None else ending(code), words]))
