"""An interpreter that has its modules loaded, and forks itself for each job. It never reads a job's payload.

Talks over one SOCK_SEQPACKET socket with whoever started it, JSON each way:
  in   {"limits": {…}} with five descriptors (payload, stdin, stdout, stderr, result): start a job
       {"kill": true}: end the job that runs
  out  {"ready": true} once; {"status", "cpu_s", "jail"} when a job ended; {"failed": words} if it cannot serve
`jail` says why the job could not be locked in, and is empty if it was: it comes by a pipe that is closed before the
program is read, so no program can write it. The end of the socket ends the zygote, and a job with it.
"""

from __future__ import annotations

import array
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import traceback
from typing import Any, NoReturn

from . import harness, jail, kernel

_MESSAGE = 65536
_RESULT_FD = 3
_JAIL_FD = 4  # where a job says that it could not be locked in; closed before the program is read, as the next ones are
_HIGH = 16  # above those
_WORDS = 1000


def main(control_fd: int, confinement: str, preload: list[str], readable: list[str], jobs: int) -> None:
    """Serve jobs until `jobs` are done or the socket ends.

    confinement  `namespaces`, `landlock` or `none`: what keeps a job in
    readable     the paths of system and interpreter that a job may read
    """
    low = fcntl.fcntl(control_fd, fcntl.F_DUPFD_CLOEXEC, 3)  # its number was its owner's, who may have thousands
    os.close(control_fd)
    control = socket.socket(fileno=low)
    try:
        for name in preload:
            importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - written for whoever started this
        _send(control, {"failed": f"cannot import {name}: {type(error).__name__}: {error}"})
        return
    try:
        zygote = _Zygote(control, confinement, readable)
    except OSError as error:
        _send(control, {"failed": str(error)})
        return
    _send(control, {"ready": True})
    served = 0
    while served < jobs:
        message, descriptors = _receive(control)
        if not message:
            return
        if "limits" in message:  # else it would kill a job that has just ended
            if not zygote.serve(message["limits"], descriptors):
                return
            served += 1


class _Zygote:
    """The process that jobs are forked from."""

    def __init__(self, control: socket.socket, confinement: str, readable: list[str]) -> None:
        gc.collect()
        gc.freeze()  # what is loaded stays shared with the jobs: a collection would copy its pages
        gc.disable()
        self._control, self._confinement, self._readable = control, confinement, readable
        self._base_bytes = _address_space()
        self._restrictions = jail.Restrictions(confinement, readable)
        self._who = (os.getuid(), os.getgid())

    def serve(self, limits: jail.Limits, descriptors: list[int]) -> bool:
        """Run one job to its end; False if nobody is left to report to."""
        apart = self._confinement == "namespaces"
        jail_read, jail_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        pid = kernel.fork_into(kernel.ALL_NAMESPACES) if apart else os.fork()
        if pid == 0:
            self._become_job(limits, descriptors, jail_write)
        for fd in [*descriptors, jail_write]:
            os.close(fd)
        try:
            return self._until_its_end(pid, jail_read)
        finally:
            os.close(jail_read)

    def _become_job(self, limits: jail.Limits, descriptors: list[int], jail_fd: int) -> NoReturn:
        """In the job's process: from a copy of the zygote to a program that is locked in."""
        try:
            os.setsid()
            with open(descriptors[0], "rb") as file:
                payload = file.read()
            # 0-3 are the program's streams and its result. What else the zygote or its owner had is not the job's.
            kept = [*descriptors[1:], jail_fd, *self._restrictions.descriptors]
            above = [fcntl.fcntl(fd, fcntl.F_DUPFD, _HIGH) for fd in kept]
            for number, fd in enumerate(above):
                os.dup2(fd, number)
            jail_fd = _JAIL_FD
            kernel.close_from(len(above))
            if self._confinement == "namespaces":
                jail.enter_namespaces(limits, self._who, self._readable)
                os.chdir(jail.FOLDER)
            elif self._confinement == "landlock":
                os.chdir("/")  # where its owner works is not its business
            beside = 0 if self._confinement == "namespaces" else jail.tasks_of_user() - 1
            jail.set_limits(limits, self._base_bytes, beside)
            self._restrictions.lock(_JAIL_FD + 1)
            os.close(_JAIL_FD)
        except BaseException:  # noqa: BLE001 - the supervisor reads it as this job's failed start
            os.write(jail_fd, traceback.format_exc()[-_WORDS:].encode(errors="replace"))
            os._exit(harness.EXIT_EXCEPTION)
        harness.run(payload, _RESULT_FD)

    def _until_its_end(self, pid: int, jail_fd: int) -> bool:
        """Wait for the job, and kill it on request."""
        wanted = True
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while pidfd not in dict(poll.poll()):
            message, _ = _receive(self._control)
            wanted = bool(message)
            os.kill(pid, signal.SIGKILL)
            poll.unregister(self._control)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        if wanted:
            code = os.waitstatus_to_exitcode(status)
            try:
                words = os.read(jail_fd, 4 * _WORDS).decode(errors="replace")
            except BlockingIOError:  # another holds its other end: not the job, which would have had to close it
                words = ""
            _send(self._control, {"status": code, "cpu_s": usage.ru_utime + usage.ru_stime, "jail": words})
        return wanted


def _send(control: socket.socket, message: dict[str, object]) -> None:
    control.send(json.dumps(message).encode())


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A message and its descriptors; an empty one at the end of the socket."""
    descriptors = array.array("i")
    try:
        text, ancillary, _, _ = control.recvmsg(_MESSAGE, socket.CMSG_LEN(8 * descriptors.itemsize))
    except ConnectionError:
        return {}, []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return (json.loads(text) if text else {}), descriptors.tolist()


def _address_space() -> int:
    """Bytes of this process's address space."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
