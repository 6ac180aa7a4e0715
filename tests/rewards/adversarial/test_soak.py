"""After thousands of jobs, a tenth of them hostile, the machine is as it was before."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from programs import HOSTILE, LIMITS

from reprise.sandbox import Call, Ending, Job, SandboxSettings, processes
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.slot import Slot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_MIB = 1 << 20
SHORT = replace(LIMITS, cpu_s=0.3, wall_s=0.5)


def honest(number: int) -> tuple[Job, object]:
    if number % 2:
        return Job("print(int(input()) * 3)", str(number).encode()), f"{number * 3}\n".encode()
    return Job("def f(x): return (x, [x] * 100)", call=Call("f", [number])), (number, [number] * 100)


FOLDERS = [Path(name) for name in ("/tmp", "/dev/shm", "/run", "/var/tmp") if os.path.isdir(name)]


def state() -> dict[str, object]:
    """What must not change: mounts, descriptors."""
    return {"mounts": Path("/proc/self/mounts").read_text(), "descriptors": len(os.listdir("/proc/self/fd"))}


def cgroups() -> set[str]:
    """Those of this process. An earlier test's may vanish during the walk, which os.walk ignores and Path does not."""
    return {
        os.path.join(folder, name)
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(f"reprise-{os.getpid()}-")
    }


def files(users: set[int] | None = None) -> set[str]:
    """Where files may be left: all, or those that a program left and those of these users (others write there too)."""
    return {
        str(path)
        for folder in FOLDERS
        for path in folder.iterdir()
        if users is None or "reprise-left" in path.name or owner(path) in users
    }


def owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return -1


def test_thousands_of_jobs_leave_nothing_behind(request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--soak-jobs")
    rng = random.Random(0)
    before, groups, seen, children = state(), cgroups(), files(), set(processes.children(os.getpid()))
    pool = SandboxPool(SandboxSettings(slots=2, recycle_after=500), ["numpy"])
    pool.start()
    given = json.dumps({"canary": "/tmp/no-such-canary", "owner": os.getpid()}).encode()
    resident: list[int] = []
    try:
        for start in range(0, count, 100):
            batch: list[tuple[Job, object]] = []
            for number in range(start, min(start + 100, count)):
                if number % 10 == 0:
                    hostile = rng.choice(HOSTILE)
                    stdin = given if hostile.stdin is None else hostile.stdin
                    batch.append((Job(hostile.source, stdin, hostile.call, SHORT), None))
                else:
                    batch.append(honest(number))
            for (_, expected), result in zip(batch, pool.run([job for job, _ in batch]), strict=True):
                assert result.ending is not Ending.INFRA, result
                if expected is not None:
                    assert expected in (result.stdout, result.value), result
            usage = processes.usage(os.getpid())
            assert usage is not None
            resident.append(usage.resident)
        users = {slot.user for slot in pool._slots if isinstance(slot, Slot) and slot.user is not None}
        idle = [len(processes.tree(keeper)) for keeper in pool.keeper_pids]
    finally:
        pool.close()
    assert idle == [4, 4], "keeper, bubblewrap twice, zygote: no job's process is left"
    assert set(processes.children(os.getpid())) <= children
    assert state() == before
    assert cgroups() <= groups
    assert files(users) <= seen
    assert resident[-1] - resident[len(resident) // 4] < 16 * _MIB, [r // _MIB for r in resident]
