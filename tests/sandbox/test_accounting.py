"""How a job's CPU time and memory are counted: from /proc, and by a cgroup where there is one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reprise.sandbox import Ending, Job, JobLimits, SandboxSettings, cgroups
from reprise.sandbox.cgroups import Group, new_group, own_cgroup
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.processes import CpuOfAll, Usage


def used(cpu_s: float, waited_s: float = 0.0, parent: int = 1, started: int = 0) -> Usage:
    return Usage(cpu_s, waited_s, 0, parent, started)


def test_cpu_of_a_child_that_nobody_waited_for_is_kept() -> None:
    cpu = CpuOfAll()
    assert cpu.add({1: used(0.5), 2: used(0.3)}) == 0.8
    assert cpu.add({1: used(0.5)}) == pytest.approx(0.8)
    assert cpu.add({1: used(0.6)}) == pytest.approx(0.9)


def test_cpu_of_a_child_that_was_waited_for_counts_once() -> None:
    cpu = CpuOfAll()
    cpu.add({1: used(0.5), 2: used(0.3)})
    assert cpu.add({1: used(0.9, waited_s=0.4)}) == pytest.approx(0.9)


def test_cpu_of_grandchildren_counts_once_whoever_waits() -> None:
    cpu = CpuOfAll()
    cpu.add({1: used(0.1), 2: used(0.2), 3: used(0.3, parent=2)})
    assert cpu.add({1: used(0.6, waited_s=0.5)}) == pytest.approx(0.6), "2 waited for 3, and 1 for 2"
    cpu = CpuOfAll()
    cpu.add({1: used(0.1), 2: used(0.2), 3: used(0.3, parent=2)})
    assert cpu.add({1: used(0.1)}) == pytest.approx(0.6), "nobody did"


def test_a_pid_used_again_is_another_process() -> None:
    cpu = CpuOfAll()
    cpu.add({1: used(0.1), 2: used(0.3, started=5)})
    assert cpu.add({1: used(0.1), 2: used(0.0, started=9)}) == pytest.approx(0.4)


# --- cgroups ----------------------------------------------------------------------------------------------------------


def process(folder: Path, cgroup: str, *mounts: str) -> Path:
    folder.mkdir()
    (folder / "cgroup").write_text(f"4:memory:/other\n{cgroup}\n")
    (folder / "mountinfo").write_text("".join(f"{mount}\n" for mount in mounts))
    return folder


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
V1 = "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "found"),
    [
        ("0::/user.slice/a.scope", [V1, V2], "/sys/fs/cgroup/user.slice/a.scope"),
        ("0::/", [V2], "/sys/fs/cgroup"),
        ("0::/docker/a/b", [V2.replace("0:26 / /", "0:26 /docker/a /")], "/sys/fs/cgroup/b"),
        ("0::/", [V2.replace("0:26 / /", "0:26 /docker/a /")], None),
        ("0::/a", [V1], None),
        ("3:cpu:/a", [V2], None),
    ],
    ids=["a scope", "the root", "a container's mount", "above the mount", "version 1 alone", "not in version 2"],
)
def test_the_own_cgroup_is_found(tmp_path: Path, cgroup: str, mounts: list[str], found: str | None) -> None:
    assert own_cgroup(process(tmp_path / "self", cgroup, *mounts)) == (None if found is None else Path(found))
    assert own_cgroup(tmp_path / "gone") is None


def test_a_group_bounds_memory_and_processes_where_it_can(tmp_path: Path) -> None:
    group = Group(tmp_path)
    for name, text in (("memory.current", "1000000"), ("cpu.stat", "usage_usec 2500000\nuser_usec 1")):
        (group.path / name).write_text(text)
    group.settle()
    group.limit(JobLimits(memory_mb=100, processes=8, disk_mb=10, output_bytes=1 << 20))
    assert int((group.path / "memory.max").read_text()) == 1_000_000 + ((100 + 10 + 4 + 32 + 8) << 20)
    assert (group.path / "memory.oom.group").read_text() == "1"
    assert (group.path / "pids.max").read_text() == "12"
    assert group.cpu_s() == 2.5
    assert group.out_of_memory() == 0
    (group.path / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    assert group.out_of_memory() == 1


def test_a_cgroup_that_was_given_to_its_processes_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.procs").write_text("11\n12\n")
    monkeypatch.setattr(cgroups, "own_cgroup", lambda _: tmp_path)
    monkeypatch.setattr("os.listxattr", lambda _: ["user.delegate"])
    group = new_group()
    assert group is not None
    assert group.path.parent == tmp_path
    assert (tmp_path / "reprise-owner" / "cgroup.procs").read_text() == "12", "each was moved"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    monkeypatch.setattr(cgroups, "own_cgroup", lambda _: tmp_path / "reprise-owner")
    again = new_group()
    assert again is not None
    assert again.path.parent == tmp_path, "the next slot's lies beside it, not below"


def test_without_a_cgroup_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "own_cgroup", lambda _: None)
    assert new_group() is None
    monkeypatch.setattr(cgroups, "own_cgroup", lambda _: tmp_path / "not there")
    assert new_group() is None


def test_what_a_killed_owner_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reprise-999999999-1").mkdir()
    monkeypatch.setattr(cgroups, "own_cgroup", lambda _: tmp_path)
    group = new_group()
    assert group is not None
    assert list(tmp_path.iterdir()) == [group.path]
    group.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_page_tables_are_memory_too() -> None:
    """Seen before: 1.5 GB of them with a limit of 256 MiB, in a language that no limit on address space can bound."""
    program = """
import mmap
seen = mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, mmap.PROT_READ)
for at in range(0, 1 << 40, 1 << 21): seen[at]
"""
    pool = SandboxPool(SandboxSettings(slots=1, backend="zygote"))
    try:
        limits = JobLimits(cpu_s=20, wall_s=40, memory_mb=64)
        result = pool.run_one(Job(argv=(sys.executable, "-I", "-S", "-c", program), limits=limits))
    finally:
        pool.close()
    assert result.ending is Ending.MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("counted", ["by a cgroup", "from /proc"])
def test_children_that_nobody_waits_for_cost_cpu(counted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen before: 4.2 s of CPU with a limit of 1, reported as 0.009."""
    if counted == "from /proc":
        monkeypatch.setattr("reprise.sandbox.slot.new_group", lambda: None)
    elif (group := new_group()) is None:
        pytest.skip("no cgroup of version 2 can be made here")
    else:
        group.remove()
    source = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        end = time.process_time() + 0.1
        while time.process_time() < end: pass
        os._exit(0)
    time.sleep(0.1)
"""
    pool = SandboxPool(SandboxSettings(slots=1, backend="zygote"))
    try:
        result = pool.run_one(Job(source, limits=JobLimits(cpu_s=0.5, wall_s=20)))
    finally:
        pool.close()
    assert result.ending is Ending.TIMEOUT
    assert result.cpu_s >= 0.5
    assert result.wall_s < 15
