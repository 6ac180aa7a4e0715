"""Every hostile program ends as it must, on every backend this machine offers, and leaves nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from programs import HOSTILE, LIMITS, Hostile

from rewards.sandbox import Ending, Job, SandboxSettings, processes
from rewards.sandbox.backends import STRONGEST_FIRST, probe
from rewards.sandbox.pool import SandboxPool

# Programs that no deadline ends sleep for longer than that, or for ever.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HONEST = Job(source="import sys\nprint(sys.stdin.read().upper())", stdin=b"honest", limits=LIMITS)


@pytest.fixture(scope="module", params=STRONGEST_FIRST)
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    os.environ["REPRISE_TEST"] = "SECRET"
    pool = SandboxPool(SandboxSettings(backend=request.param, slots=1))
    pool.start()
    yield pool
    pool.close()
    del os.environ["REPRISE_TEST"]


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in a folder that anyone may read and write: only the sandbox stands before it."""
    folder = tmp_path_factory.mktemp("canary")
    for each in (folder, folder.parent, folder.parent.parent):
        os.chmod(each, 0o777)
    path = folder / "canary"
    path.write_text("a reference answer")
    return path


@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_the_backend_works_on_this_machine(backend: str) -> None:
    tried = probe(backend, SandboxSettings())
    assert tried.works, f"{backend} is not tested here: {tried.why}"


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_a_hostile_program_ends_as_it_must(pool: SandboxPool, hostile: Hostile, canary: Path) -> None:
    given = json.dumps({"canary": str(canary), "owner": os.getpid()}).encode()
    stdin = given if hostile.stdin is None else hostile.stdin
    limits = LIMITS if hostile.call is None else replace(LIMITS, cpu_s=2, wall_s=4)
    result = pool.run_one(Job(hostile.source, stdin, hostile.call, limits))
    assert result.ending in hostile.on.get(pool.backend, hostile.endings), result
    if hostile.prints is not None and result.ending is Ending.OK:
        assert result.stdout.decode().strip() == hostile.prints
    assert list(canary.parent.iterdir()) == [canary]
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
