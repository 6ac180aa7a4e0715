"""An interpreter that has its modules loaded, and forks itself for each job. It never reads a job's payload.

Talks over one SOCK_SEQPACKET socket with whoever started it, JSON each way:
  in   {"limits": {…}} with five descriptors (payload, stdin, stdout, stderr, result): start a job
       {"kill": true}: end the job that runs
  out  {"ready": true} once; {"status", "cpu_s", "max_rss"} when a job ended; {"failed": words} if it could not start
The end of the socket ends the zygote, and a job with it.
"""

from __future__ import annotations

import array
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
_HIGH = 200  # above every descriptor in use


def main(control_fd: int, confinement: str, preload: list[str], readable: list[str], jobs: int) -> None:
    """Serve jobs until `jobs` are done or the socket ends.

    confinement  `namespaces`, `landlock` or `none`: what keeps a job in
    readable     with Landlock, the paths a job may read
    """
    control = socket.socket(fileno=control_fd)
    try:
        for name in preload:
            importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - told to whoever started this
        _send(control, {"failed": f"cannot import {name}: {type(error).__name__}: {error}"})
        return
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the jobs: a collection would copy its pages
    gc.disable()
    base = _address_space()
    who = (os.getuid(), os.getgid())
    _send(control, {"ready": True, "pid": os.getpid()})
    for _ in range(jobs):
        message, descriptors = _receive(control)
        if not message:
            return
        if "limits" not in message:
            continue
        pid = _start(message["limits"], descriptors, control, confinement, readable, base, who)
        for fd in descriptors:
            os.close(fd)
        if not _until_its_end(pid, control):
            return


def _start(
    limits: dict[str, Any],
    descriptors: list[int],
    control: socket.socket,
    confinement: str,
    readable: list[str],
    base: int,
    who: tuple[int, int],
) -> int:
    pid = kernel.fork_into(kernel.ALL_NAMESPACES) if confinement == "namespaces" else os.fork()
    if pid == 0:
        _job(limits, descriptors, control, confinement, readable, base, who)
    return pid


def _job(
    limits: dict[str, Any],
    descriptors: list[int],
    control: socket.socket,
    confinement: str,
    readable: list[str],
    base: int,
    who: tuple[int, int],
) -> NoReturn:
    """The job's process: from a copy of the zygote to a program that is locked in."""
    try:
        os.setsid()
        # Descriptors 0-3 are the program's streams and its result; the payload lies above until it is read.
        high = [os.dup2(fd, _HIGH + i) for i, fd in enumerate(descriptors)]
        payload_fd, *streams = high
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        os.closerange(_RESULT_FD + 1, payload_fd)
        os.closerange(payload_fd + 1, _HIGH + 56)
        with open(payload_fd, "rb") as file:
            payload = file.read()
        if confinement == "namespaces":
            jail.enter_namespaces(limits, who)
            os.chdir(jail.FOLDER)
        jail.set_limits(limits, base)
        jail.lock(confinement, readable)
    except BaseException:  # noqa: BLE001 - the supervisor reads it as this job's failed start
        os.write(_RESULT_FD, json.dumps({"jail": traceback.format_exc()[-1000:]}).encode() + b"\n")
        os._exit(harness.EXIT_EXCEPTION)
    harness.run(payload, _RESULT_FD)


def _until_its_end(pid: int, control: socket.socket) -> bool:
    """Wait for the job, and kill it when told to; False if nobody is there any more."""
    wanted = True
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    while wanted:
        ready = dict(poll.poll())
        if pidfd in ready:
            break
        message, _ = _receive(control)
        wanted = bool(message)
        os.kill(pid, signal.SIGKILL)
        poll.unregister(control)
    os.close(pidfd)
    _, status, usage = os.wait4(pid, 0)
    if wanted:
        code = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        _send(control, {"status": code, "cpu_s": cpu, "max_rss": usage.ru_maxrss << 10})
    return wanted


def _send(control: socket.socket, message: dict[str, Any]) -> None:
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
