"""A verifier in a process of its own, as a host of a `VerifierPool`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import subprocess
from collections.abc import Sequence
from typing import Any

from reprise.core.processes import ending, python_command
from reprise.launch.verify.printed import Printed
from reprise.launch.verify.worker import LENGTH_BYTES
from reprise.rewards.base import Answer
from reprise.rewards.pool.host import HostDied
from reprise.rewards.scoring import Verification
from reprise.rewards.settings import VerifierSettings

_LOOK_EVERY_S = 0.05
_REAP_S = 1.0


class ProcessHost:
    """A host that is a process, with a socket for each batch that it verifies side by side.

    Args:
        name: the verifier's, in `rewards.verifiers`.
        chosen: its settings; `concurrency` gives the number of sockets.
        retries: how often an answer is verified again after an infra error.
        printed: takes what the process, and what it starts, prints.
    """

    def __init__(self, name: str, chosen: VerifierSettings, retries: int, printed: Printed | None = None) -> None:
        self._arguments = {"name": name, "chosen": chosen.model_dump_json(), "retries": retries, "parent": os.getpid()}
        self._concurrency = chosen.concurrency
        self._printed = printed or Printed()
        self._process: subprocess.Popen[bytes] | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def start(self) -> Sequence[str]:
        """UserError or RuntimeError with the cause if the verifier cannot start."""
        pairs = [socket.socketpair() for _ in range(self._concurrency)]
        fds = [theirs.fileno() for _, theirs in pairs]
        output = self._printed.pipe()
        try:
            self._process = subprocess.Popen(
                python_command("reprise.launch.verify.worker:serve", self._arguments | {"fds": fds}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=fds,
                start_new_session=True,  # Ctrl-C is for the parent, which then closes the sockets
            )
        finally:
            os.close(output)
            for _, theirs in pairs:
                theirs.close()
        self._free = [await asyncio.open_connection(sock=ours) for ours, _ in pairs]
        self._writers = [writer for _, writer in self._free]
        started = await self._receive(self._free[0][0])
        if isinstance(started, Exception):
            raise started
        notes: list[str] = started
        return notes

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        reader, writer = self._free.pop()
        writer.write(pickle.dumps(answers))
        verification: Verification = await self._receive(reader)
        self._free.append((reader, writer))
        return verification

    async def _receive(self, reader: asyncio.StreamReader) -> Any:
        try:
            length = await reader.readexactly(LENGTH_BYTES)
            return pickle.loads(await reader.readexactly(int.from_bytes(length)))  # noqa: S301 - of our own process
        except (OSError, asyncio.IncompleteReadError):
            raise HostDied(await self.ended()) from None

    async def alive(self) -> None:
        """Always: what keeps a process from answering is found by its deadline alone."""

    async def ended(self) -> str:
        assert self._process is not None
        while (code := self._process.poll()) is None:
            await asyncio.sleep(_LOOK_EVERY_S)
        return f"its process ended with {ending(code)}"

    async def close(self) -> None:
        """The process ends when it has verified what it has, and its verifier is closed."""
        for writer in self._writers:
            writer.close()
        await self.ended()

    def kill(self) -> None:
        for writer in self._writers:
            writer.close()
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_S)
