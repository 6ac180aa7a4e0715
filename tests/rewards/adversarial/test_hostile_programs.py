"""Hostile programs end as they must, on every backend this machine offers, and leave nothing behind.

All of them on the default backend. On the others `make test` tries those whose ending depends on the backend and every
escape; what exhausts a limit that all backends share is for `make test-full` and `make soak`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from escapes import ESCAPES
from programs import HOSTILE, LIMITS, Hostile

from reprise.sandbox import Ending, Job, SandboxSettings, processes
from reprise.sandbox.attempts import Canary
from reprise.sandbox.backends import STRONGEST_FIRST, probe
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.slot import Slot

# Programs that no deadline ends sleep for longer than that, or endlessly.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HONEST = Job("import sys\nprint(sys.stdin.read().upper())", b"honest", limits=replace(LIMITS, wall_s=6))


@pytest.fixture(scope="module")
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    os.environ["REPRISE_TEST"] = "SECRET"
    pool = SandboxPool(SandboxSettings(backend=request.param, slots=1))
    pool.start()
    yield pool
    pool.close()
    del os.environ["REPRISE_TEST"]


@dataclass
class Outside:
    """What lies outside of a sandbox, and must be as it was."""

    canary: Canary
    segment: int
    sockets: list[socket.socket]
    given: bytes  # all of it in one JSON line, for the programs

    def changes(self) -> list[str]:
        received = [each for each in self.sockets if select.select([each], [], [], 0)[0]]
        return self.canary.changes() + ["something was received"] * bool(received)


@pytest.fixture(scope="module")
def outside(pool: SandboxPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Things of the very user that jobs run as, where anyone may go: only the sandbox stands before them."""
    folder = tmp_path_factory.mktemp("canary")
    for each in folder.parents:
        if each.name.startswith(("pytest-", "popen-")):  # pytest's own and those of its lanes
            os.chmod(each, 0o755)
    [slot] = pool._slots
    assert isinstance(slot, Slot)
    canary = Canary(folder, slot.user)
    assert all(each.stat().st_mode & 0o001 for each in folder.parents), "the sandbox must be all that stands before it"
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 4096, 0o1666)
    sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    path, abstract = str(tmp_path_factory.mktemp("s") / "s"), f"\0reprise-adversary-{os.getpid()}"
    for end, address in zip(sockets, (path, abstract), strict=True):
        end.bind(address)
    os.chmod(path, 0o777)
    given = {"canary": str(canary.path), "owner": os.getpid(), "segment": segment, "socket": path, "abstract": abstract}
    yield Outside(canary, segment, sockets, json.dumps(given).encode())
    for end in sockets:
        end.close()
    assert libc.shmctl(segment, 0, 0) == 0, "the segment is still there, to be removed"


@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_the_backend_works_on_this_machine(backend: str) -> None:
    tried = probe(backend, SandboxSettings())
    assert tried.works, f"{backend} is not tested here: {tried.why}"


def on_each_backend() -> list[Any]:
    default, *others = STRONGEST_FIRST
    escapes = [hostile for hostile in HOSTILE if hostile in ESCAPES or hostile.prints == "held"]
    differing = [hostile for hostile in HOSTILE if hostile.on]
    return [pytest.param(default, hostile, id=f"{default}-{hostile.name}") for hostile in HOSTILE] + [
        pytest.param(
            backend,
            hostile,
            id=f"{backend}-{hostile.name}",
            marks=[] if hostile in escapes or hostile in differing else [pytest.mark.full],
        )
        for backend in others
        for hostile in HOSTILE
    ]


@pytest.mark.parametrize(("pool", "hostile"), on_each_backend(), indirect=["pool"], scope="module")
def test_a_hostile_program_ends_as_it_must(pool: SandboxPool, hostile: Hostile, outside: Outside) -> None:
    stdin = outside.given if hostile.stdin is None else hostile.stdin
    endings = hostile.on.get(pool.backend, hostile.endings)
    ends_well = hostile.call is not None or Ending.OK in endings  # it needs no limit, but a busy machine is slow
    limits = replace(LIMITS, cpu_s=2, wall_s=6) if ends_well else LIMITS
    result = pool.run_one(Job(hostile.source, stdin, hostile.call, limits))
    assert result.ending in endings, result
    if hostile.prints is not None and result.ending is Ending.OK:
        assert result.stdout.decode().strip() == hostile.prints
    assert outside.changes() == []
    assert jobs_of(pool) == [], "no process of the job may be left"
    honest = pool.run_one(HONEST)
    assert (honest.ending, honest.stdout.strip()) == (Ending.OK, b"HONEST"), "the next job must find all as it was"


def jobs_of(pool: SandboxPool) -> list[int]:
    """Processes in the sandbox beyond what an idle slot has: its keeper, bubblewrap's two, and the zygote."""
    left = []
    for keeper in pool.keeper_pids:
        chain = processes.tree(keeper)
        left += chain[4:] if pool.backend != "landlock" else chain[2:]
    return left
