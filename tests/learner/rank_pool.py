"""Learner ranks as long-lived spawned processes, so that many checks share the price of their imports."""

from __future__ import annotations

import multiprocessing as mp
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

DEADLINE_S = 120.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _serve(rank: int, world_size: int, port: int, connection: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    while (message := connection.recv()) is not None:
        job, arguments = message
        try:
            connection.send((True, job(rank, world_size, port, **arguments)))
        except Exception:  # noqa: BLE001 - reported to the test, which fails with it
            connection.send((False, traceback.format_exc()))


class RankPool:
    """`world_size` processes; `run(job, **arguments)` calls job(rank, world_size, port, **arguments) in each."""

    def __init__(self, world_size: int) -> None:
        context = mp.get_context("spawn")
        port = free_port()
        self._connections: list[Connection] = []
        self._processes = []
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, world_size, port, theirs), daemon=True)
            process.start()
            self._connections.append(ours)
            self._processes.append(process)

    def run(self, job: Callable[..., Any], **arguments: Any) -> list[Any]:
        """The results by rank. A rank that raises or is silent for two minutes fails the test."""
        for connection in self._connections:
            connection.send((job, arguments))
        results = []
        for rank, connection in enumerate(self._connections):
            assert connection.poll(DEADLINE_S), f"rank {rank} is silent for {DEADLINE_S} s"
            well, result = connection.recv()
            assert well, f"rank {rank} raised:\n{result}"
            results.append(result)
        return results

    def close(self) -> None:
        for connection, process in zip(self._connections, self._processes):
            connection.send(None)
            process.join(10)
            if process.is_alive():
                process.kill()
