"""Ray for one run: the cluster that RAY_ADDRESS names, or one on this machine, gone at the end with its folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import ray

from reprise.core.errors import RunError, UserError
from reprise.launch.placement.nodes import local_nodes, on_a_cluster

_MARK = "reprise.lock"  # in a session's folder, locked as long as its run lives
_CONNECT_S = 10.0


def join_ray(start_deadline_s: float) -> Path:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine alone; the folder of Ray's session."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    # Death notices of 900 characters, printed over the display whatever is set; a run tells deaths itself.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    if on_a_cluster():
        check_address(os.environ["RAY_ADDRESS"], start_deadline_s)
        context: Any = ray.init(**quiet)
    else:
        try:  # with as much memory to reserve as was planned with
            memory = int(local_nodes()[0].memory)
            context = ray.init(address="local", include_dashboard=False, _memory=memory, **quiet)
        except Exception as error:
            ray.shutdown()
            said = str(error).partition(". ")[0].rstrip(".")
            raise RunError(
                f"Ray did not start on this machine: {said}. Is it busy, or short of memory? Ray's own logs are in "
                "/tmp/ray/session_latest/logs; run it again, or name a cluster in RAY_ADDRESS"
            ) from error
    return Path(context.address_info["session_dir"])


class RaySession:
    """A run's connection to Ray, as a context.

    A local session's folder is removed at the end. If the run failed, Ray's own logs are copied to `logs` before, where
    that has been set. A run that was killed leaves its folder behind: the next one on this machine removes it.
    """

    def __init__(self, start_deadline_s: float) -> None:
        self._deadline_s = start_deadline_s
        self._folder: Path | None = None
        self._lock: IO[str] | None = None
        self.logs: Path | None = None

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGTERM)
        folder = join_ray(self._deadline_s)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray puts one in its place that just exits
        if on_a_cluster():
            return self
        self._folder = folder
        self._lock = _locked(self._folder / _MARK)
        for folder in abandoned(self._folder.parent):
            shutil.rmtree(folder, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()
        if self._folder is None:
            return
        if self.logs is not None and isinstance(error, Exception) and not isinstance(error, UserError):
            with suppress(OSError):  # a full disk, say, may be why the run failed
                shutil.copytree(self._folder / "logs", self.logs, ignore=_dangling, dirs_exist_ok=True)
        if self._lock is not None:
            self._lock.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def check_address(address: str, deadline_s: float) -> None:
    """Refuse a RAY_ADDRESS at which no Ray answers. Ray itself would try for minutes."""
    advice = "name a running cluster (host:6379), or unset RAY_ADDRESS to run on this machine alone"
    if address.startswith(("http://", "https://")):
        raise UserError(
            f"RAY_ADDRESS {address} is that of a dashboard, for `ray job submit`; to run without submitting, {advice}"
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto", say: Ray looks on this machine
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), min(_CONNECT_S, deadline_s)).close()
    except OSError as error:
        raise UserError(f"RAY_ADDRESS {address}: no Ray answers there ({error.strerror or error}); {advice}") from None
    if address.startswith("ray://"):
        return
    probe = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address, "--skip-version-check"]
    try:
        healthy = subprocess.run(probe, capture_output=True, timeout=deadline_s, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        healthy = False
    if not healthy:
        raise UserError(f"RAY_ADDRESS {address}: what listens there does not answer as Ray does; {advice}")


def abandoned(folder: Path) -> Iterator[Path]:
    """Folders of sessions in `folder` that runs of ours made which live no more."""
    for mark in folder.glob(f"session_*/{_MARK}"):
        try:
            with mark.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its run lives, or it is somebody else's
            continue
        yield mark.parent


def _locked(mark: Path) -> IO[str]:
    file = mark.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _dangling(folder: str, names: list[str]) -> list[str]:
    """What is not a plain file or folder, and cannot be copied: sockets, links to logs that are gone."""
    return [n for n in names if not (Path(folder, n).is_file() or Path(folder, n).is_dir())]
