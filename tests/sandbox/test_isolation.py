"""What a job gets of its owner, what it leaves, and a job that could not be locked in."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprise.sandbox import Call, Ending, Job, JobLimits, SandboxSettings, backends
from reprise.sandbox.backends import STRONGEST_FIRST, probe
from reprise.sandbox.cgroups import own_cgroup
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.slot import Slot

pytestmark = pytest.mark.slow

SEEN = "import os\ndef f():\n    return [fd for fd in range(70_000) if is_open(fd)]\n"
IS_OPEN = "def is_open(fd):\n    try: os.fstat(fd)\n    except OSError: return False\n    return True\n"


@pytest.fixture
def many_descriptors(request: pytest.FixtureRequest) -> Iterator[None]:
    """The owner holds as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < request.param + 300:
        pytest.skip(f"at most {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(request.param)]
    yield
    for fd in held:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("many_descriptors", [64 * 5, 4000], indirect=True, ids=["as 64 slots", "as a busy actor"])
@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_a_job_sees_its_four_descriptors_however_many_its_owner_has(backend: str, many_descriptors: None) -> None:
    """Seen before: beyond 255 the zygote's own socket came along, and with it the jobs to come."""
    pool = SandboxPool(SandboxSettings(slots=1, backend=backend))  # type: ignore[arg-type]
    try:
        seen = pool.run_one(Job(IS_OPEN + SEEN, call=Call("f"), limits=JobLimits(cpu_s=10, wall_s=30)))
        assert seen.value == [0, 1, 2, 3]
    finally:
        pool.close()


@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_a_job_that_cannot_be_locked_in_is_no_fault_of_its_program(
    backend: str,
) -> None:
    pool = SandboxPool(SandboxSettings(slots=1, backend=backend))  # type: ignore[arg-type]
    try:
        failed = pool.run_one(Job("print(1)", limits=JobLimits(disk_mb=-1, processes=-7)))
        assert failed.ending is Ending.INFRA
        assert "the job could not be locked in: Traceback" in failed.explanation
        assert pool.run_one(Job("print(2)")).stdout == b"2\n"
    finally:
        pool.close()


LEAVING = """
import ctypes, os, socket
libc = ctypes.CDLL(None)
for folder in ("/dev/shm", "/tmp", "/var/tmp", "/run", "/run/lock", ".", os.path.expanduser("~")):
    try: open(os.path.join(folder, "reprise-left"), "w").write("x")
    except OSError: pass
for name in (b"/reprise-left",):
    libc.shm_open(name, 0o102, 0o666); libc.sem_open(name, 0o100, 0o666, 1); libc.mq_open(name, 0o102, 0o666, None)
libc.shmget(0x7e97, 4096, 0o1666); libc.semget(0x7e97, 1, 0o1666); libc.msgget(0x7e97, 0o1666)
try: os.fork() or os.setsid()
except OSError: pass
print("left")
"""


def outside(user: int | None) -> set[str]:
    """What a job's user could have left on this machine, and the sandbox's own."""
    folders = [Path(name) for name in ("/dev/shm", "/tmp", "/var/tmp", "/run", "/run/lock") if os.path.isdir(name)]
    found = {str(path) for folder in folders for path in folder.glob("*reprise-left*")}
    found |= {str(path) for folder in folders for path in folder.glob("*") if path.lstat().st_uid == user}
    for kind in ("shm", "sem", "msg"):
        rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
        found |= {f"{kind} {row.split()[0]}" for row in rows if int(row.split()[0]) == 0x7E97}
    cgroup = own_cgroup(Path("/proc/self"))
    return found | {str(path) for path in (cgroup.glob(f"reprise-{os.getpid()}-*") if cgroup else ())}


@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_nothing_is_left_after_a_job_or_a_run(backend: str) -> None:
    pool = SandboxPool(SandboxSettings(slots=1, backend=backend))  # type: ignore[arg-type]
    pool.start()
    [slot] = pool._slots
    assert isinstance(slot, Slot)
    user = slot.user
    try:
        assert pool.run_one(Job(LEAVING)).stdout[:4] == b"left"
        assert {name for name in outside(user) if "cgroup" not in name} == set()
    finally:
        pool.close()
    assert outside(user) == set()


RECURSES = """
import resource, sys
for hard in (resource.RLIM_INFINITY, -1):
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 28, hard))
sys.setrecursionlimit(1 << 20)
def f(n): return n and 1 + f(n - 1)
print(f(20_000))
"""


@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_a_stack_may_be_raised_as_programs_that_recurse_do(backend: str) -> None:
    if resource.getrlimit(resource.RLIMIT_STACK)[1] != resource.RLIM_INFINITY:
        pytest.skip("this process may not either")
    pool = SandboxPool(SandboxSettings(slots=1, backend=backend))  # type: ignore[arg-type]
    try:
        printed = pool.run_one(Job(RECURSES))
        assert (printed.ending, printed.stdout) == (Ending.OK, b"20000\n"), printed.explanation
    finally:
        pool.close()


THREADS = """
import threading
threads = [threading.Thread(target=print, args=(1,)) for _ in range(8)]
for thread in threads: thread.start()
"""
BOMB = """
import threading, time
count = 0
try:
    while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start(); count += 1
except RuntimeError: print(count)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_other_processes_of_its_user_take_no_threads_from_a_job(backend: str) -> None:
    """Seen before: with landlock, as a user with 32 processes, no program could start a thread."""
    pool = SandboxPool(SandboxSettings(slots=1, backend=backend))  # type: ignore[arg-type]
    pool.start()
    [slot] = pool._slots
    assert isinstance(slot, Slot)
    others = [subprocess.Popen(["sleep", "60"], user=slot.user, cwd="/") for _ in range(40)]
    try:
        assert pool.run_one(Job(THREADS)).stdout.count(b"1") == 8
        assert int(pool.run_one(Job(BOMB)).stdout) < 100
    finally:
        for each in others:
            each.kill()
            each.wait()
        pool.close()


# --- the probe --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_the_probe_finds_nothing_here(backend: str) -> None:
    assert probe(backend, SandboxSettings()).why == ""


def test_the_probe_sees_each_way_out_where_there_is_no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends._CONFINEMENT, "landlock", "none")
    why = probe("landlock", SandboxSettings()).why
    ways = (
        *("read a file of its owner", "list a folder of its owner", "open a socket", "send datagrams", "watch files"),
        *("share memory that no limit counts", "keep memory in pipes", "make a user namespace"),
        *("write a file outside", "change the mode of a file outside"),
    )
    assert [way for way in ways if way not in why] == []
