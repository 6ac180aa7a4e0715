"""The sandbox as a verifier uses it: jobs in, results out, and who is blamed for what."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from importable import importable
from waiting import alive, eventually

from reprise.sandbox import Call, Ending, Job, JobLimits, JobResult, SandboxSettings, backends, processes
from reprise.sandbox.backends import NoSandbox
from reprise.sandbox.pool import SandboxPool
from reprise.sandbox.slot import BoxDied, SlotFailure
from reprise.sandbox.uids import UserId

pytestmark = pytest.mark.slow

DOUBLE = "def f(x): return x * 2"


def double(x: object) -> Job:
    return Job(DOUBLE, call=Call("f", [x]))


def test_a_program_reads_stdin_and_prints(pool: SandboxPool) -> None:
    result = pool.run_one(Job("import sys\nfor line in sys.stdin: print(line.strip()[::-1])", "abc\ndéf\n".encode()))
    assert (result.ending, result.stdout.decode()) == (Ending.OK, "cba\nféd\n")


def test_a_call_returns_its_value_with_its_types(pool: SandboxPool) -> None:
    source = "import numpy as np\ndef f(*a, **k): return (a, k, {1: {2}}, np.arange(3), 2 ** 100)"
    result = pool.run_one(Job(source, call=Call("f", [1, [2.5]], {"k": None})))
    assert result.value == ((1, [2.5]), {"k": None}, {1: {2}}, [0, 1, 2], 2**100)


def test_a_method_of_solution_is_called_too(pool: SandboxPool) -> None:
    source = "class Solution:\n    def f(self, x): return x + 1"
    assert pool.run_one(Job(source, call=Call("f", [1]))).value == 2


def test_a_main_guard_runs_with_a_program_and_not_with_a_call(pool: SandboxPool) -> None:
    source = "def f(): return 1\nif __name__ == '__main__': print('main')"
    assert pool.run_one(Job(source)).stdout == b"main\n"
    called = pool.run_one(Job(source, call=Call("f")))
    assert (called.value, called.stdout) == (1, b"")


def test_an_exception_is_a_crash_and_says_which(pool: SandboxPool) -> None:
    result = pool.run_one(Job("def f(): return {}['key']", call=Call("f")))
    assert (result.ending, result.raised, result.explanation) == (Ending.CRASH, "KeyError", "KeyError: 'key'")
    assert b"main.py" in result.stderr
    assert b"harness" not in result.stderr, "the traceback is that of the program alone"


def test_what_exit_functions_and_threads_print_is_there(pool: SandboxPool) -> None:
    source = """
        import atexit, threading, time
        atexit.register(print, "last")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        print("first")
    """
    assert pool.run_one(Job(textwrap.dedent(source))).stdout == b"first\nthread\nlast\n"


@pytest.mark.parametrize(
    ("leave", "ending"), [("sys.exit()", Ending.OK), ("sys.exit(3)", Ending.CRASH), ("exit(0)", Ending.OK)]
)
def test_a_programs_exit_code_counts(pool: SandboxPool, leave: str, ending: Ending) -> None:
    result = pool.run_one(Job(f"import sys\nprint(1)\n{leave}"))
    assert (result.ending, result.stdout) == (ending, b"1\n")


def test_jobs_share_nothing(pool: SandboxPool) -> None:
    first = pool.run_one(Job("open('/tmp/x', 'w').write('left')\nimport builtins\nbuiltins.len = None\nprint(1)"))
    second = [Job("import os\nprint(len('x'), os.path.exists('/tmp/x'))")] * 4
    assert first.ending is Ending.OK
    assert [result.stdout for result in pool.run(second)] == [b"1 False\n"] * 4


def test_a_job_cannot_find_another_that_runs_beside_it(pool: SandboxPool) -> None:
    secret = "marker-" + "of-another-job"
    spy = """
        import os, time
        found = []
        for _ in range(20):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                for name in ("cmdline", "environ", "maps", "status"):
                    try: found.append(open(f"/proc/{pid}/{name}").read())
                    except OSError: pass
            time.sleep(0.02)
        pids = {p for p in os.listdir("/proc") if p.isdigit()}
        print(pids, any("marker-" + "of-another-job" in text for text in found))
    """
    other = Job(f"import time\nx = {secret!r}\ntime.sleep(0.5)\nprint(x)", limits=JobLimits(cpu_s=5, wall_s=10))
    watched, spied = pool.run([other, Job(textwrap.dedent(spy), limits=JobLimits(cpu_s=5, wall_s=10))])
    assert watched.stdout.decode().strip() == secret
    assert spied.stdout == b"{'1'} False\n"


def test_results_come_in_the_order_of_the_jobs(pool: SandboxPool) -> None:
    assert [result.value for result in pool.run([double(i) for i in range(30)])] == [2 * i for i in range(30)]


def test_the_pool_may_be_used_from_many_threads(pool: SandboxPool) -> None:
    values: dict[int, object] = {}
    threads = [
        threading.Thread(target=lambda i=i: values.update({i: pool.run_one(double(i)).value})) for i in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == {i: 2 * i for i in range(20)}


def test_equal_hashes_everywhere_so_that_verdicts_are_too(pool: SandboxPool) -> None:
    results = pool.run([Job("print(list({'a', 'b', 'c', 'd'}))")] * 6)
    assert len({result.stdout for result in results}) == 1


# --- blame ------------------------------------------------------------------------------------------------------------


class ScriptedSlot:
    """Every job sleeps past its deadline, for `delay_s` of it for want of a core, and what is run to see how busy the
    machine is takes `busy_s` seconds."""

    def __init__(self, busy_s: float, delay_s: float | None) -> None:
        self._busy_s, self._delay_s = busy_s, delay_s
        self.ran: list[str] = []

    def run(self, job: Job) -> JobResult:
        self.ran.append("job" if job.source == "sleep" else "busy")
        if job.source == "sleep":
            return JobResult(Ending.TIMEOUT, cpu_s=0.1, wall_s=11, delay_s=self._delay_s)
        return JobResult(Ending.OK, cpu_s=0.1, wall_s=self._busy_s)


@pytest.mark.parametrize(
    ("busy_s", "delay_s", "patient", "runs"),
    [
        (0.11, None, True, 1),
        (0.7, None, True, 2),
        (0.7, None, False, 1),
        (0.7, 0.2, True, 1),
        (2.0, 0.2, True, 2),
        (0.7, 6.0, True, 2),
        (0.11, 6.0, True, 1),
    ],
    ids=[
        "a machine with time",
        "a busy machine",
        "a busy machine, for a program that idled before",
        "a busy machine, which the job did not wait for",
        "a machine that hangs",
        "a busy machine, which the job did wait for",
        "a machine that was busy",
    ],
)
def test_a_deadline_missed_without_cpu_is_blamed_at_once_unless_the_machine_may_be_at_fault(
    busy_s: float, delay_s: float | None, patient: bool, runs: int
) -> None:
    pool, slot = SandboxPool(SandboxSettings(slots=1)), ScriptedSlot(busy_s, delay_s)
    pool._slots = [slot]  # type: ignore[list-item]
    pool._free.put(slot)  # type: ignore[arg-type]
    result = pool.run_one(Job("sleep"), patient)
    assert (result.ending, result.runs, pool.reruns) == (Ending.TIMEOUT, runs, runs - 1)
    assert slot.ran == ["job", "busy"] * runs


def test_the_kernel_distinguishes_a_sleeper_from_one_that_waits_for_a_core(pool: SandboxPool) -> None:
    slept = pool.run_one(Job("import time; time.sleep(9)", limits=JobLimits(wall_s=0.5)))
    assert slept.delay_s is not None
    assert slept.cpu_s + slept.delay_s < 0.4


def test_cpu_time_used_up_is_blamed_at_once(pool: SandboxPool) -> None:
    before = pool.reruns
    assert pool.run_one(Job("while True: pass", limits=JobLimits(cpu_s=0.3))).ending is Ending.TIMEOUT
    assert pool.reruns == before


def test_a_box_killed_from_outside_is_no_fault_of_its_job(pool: SandboxPool) -> None:
    before = pool.reruns

    def kill_the_first_boxes() -> None:
        time.sleep(0.3)
        for keeper in pool.keeper_pids:
            os.kill(keeper, signal.SIGKILL)

    threading.Thread(target=kill_the_first_boxes).start()
    limits = JobLimits(cpu_s=5, wall_s=10)
    results = pool.run([Job("import time; time.sleep(0.6); print(1)", limits=limits)] * 2)
    assert [(result.ending, result.stdout) for result in results] == [(Ending.OK, b"1\n")] * 2
    assert pool.reruns == before + 2


class DyingSlot:
    """A slot whose box fails with whatever job `deadly` says."""

    def __init__(self, deadly: Callable[[Job], bool], failure: type[SlotFailure]) -> None:
        self._deadly, self._failure = deadly, failure

    def run(self, job: Job) -> JobResult:
        if self._deadly(job):
            raise self._failure("it has failed")
        return JobResult(Ending.OK)


@pytest.mark.parametrize(
    ("deadly", "failure", "ending"),
    [
        (lambda job: job.source == "bomb", BoxDied, Ending.CRASH),
        (lambda job: True, BoxDied, Ending.INFRA),
        (lambda job: job.source == "bomb", SlotFailure, Ending.INFRA),
    ],
    ids=["with this job only", "with any job", "before the job was in it"],
)
def test_a_box_that_dies_twice_with_a_job_is_that_jobs_fault_unless_it_dies_with_a_harmless_one_too(
    deadly: Callable[[Job], bool], failure: type[SlotFailure], ending: Ending
) -> None:
    pool = SandboxPool(SandboxSettings(slots=1))
    slot = DyingSlot(deadly, failure)
    pool._slots = [slot]  # type: ignore[list-item]
    pool._free.put(slot)  # type: ignore[arg-type]
    assert pool.run_one(Job("bomb")).ending is ending


# --- life -------------------------------------------------------------------------------------------------------------


def test_a_job_that_its_owner_gave_up_is_not_in_the_way_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = SandboxPool(SandboxSettings(slots=1))
    pool.start()
    try:
        with monkeypatch.context() as patched:
            patched.setattr("reprise.sandbox.slot.Slot._watch", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                pool.run_one(Job("import time; time.sleep(60)"))
        assert pool.run_one(double(3)).value == 6
    finally:
        pool.close()


def test_a_slot_is_started_anew_after_its_jobs() -> None:
    pool = SandboxPool(SandboxSettings(slots=1, recycle_after=3))
    keepers = set()
    try:
        for i in range(7):
            assert pool.run_one(double(i)).value == 2 * i
            keepers.add(tuple(pool.keeper_pids))
    finally:
        pool.close()
    assert len(keepers) == 3


def test_closing_ends_every_process_and_a_closed_pool_can_be_used_again() -> None:
    pool = SandboxPool(SandboxSettings(slots=2))
    pool.start()
    pids = [pid for keeper in pool.keeper_pids for pid in processes.tree(keeper)]
    pool.close()
    pool.close()
    assert len(pids) >= 4
    assert not any(alive(pid) for pid in pids)
    assert pool.run_one(double(4)).value == 8
    pool.close()


def test_everything_ends_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"""
        from pathlib import Path
        import threading, time
        from reprise.sandbox import *
        from reprise.sandbox import processes
        from reprise.sandbox.pool import SandboxPool
        pool = SandboxPool(SandboxSettings(slots=2))
        pool.start()
        job = Job("import os, time\\nos.fork()\\ntime.sleep(60)", limits=JobLimits(wall_s=60))
        threading.Thread(target=pool.run, args=([job] * 2,)).start()
        time.sleep(0.5)
        all = [pid for keeper in pool.keeper_pids for pid in processes.tree(keeper)]
        Path({str(pids)!r}).write_text(" ".join(map(str, all)))
        time.sleep(60)
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    assert eventually(lambda: pids.exists() and bool(pids.read_text()))
    owner.kill()
    owner.wait()
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) >= 12
    assert eventually(lambda: not any(alive(pid) for pid in started))


@pytest.mark.parametrize("backend", ["zygote", "landlock"])
def test_an_environment_below_tmp_stays_in_sight(backend: str) -> None:
    script = f"""
        import sys
        from reprise.sandbox import *
        from reprise.sandbox.pool import SandboxPool
        pool = SandboxPool(SandboxSettings(slots=1, backend={backend!r}))
        print(pool.run_one(Job(f"print(open({{sys.prefix + '/pyvenv.cfg'!r}}).readline())")))
        pool.close()
    """
    with importable() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", f"{folder}/venv"], check=True)
        environment = {"PYTHONPATH": ":".join([folder, *site.getsitepackages()])}
        command = [f"{folder}/venv/bin/python", "-c", textwrap.dedent(script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    assert "stdout=b'home = " in done.stdout


def test_no_two_slots_have_the_same_user() -> None:
    one, other = UserId(62_000), UserId(62_000)
    try:
        assert one.number != other.number
    finally:
        one.release()
        other.release()
    again = UserId(62_000)
    assert again.number == 62_000, "a released id is free"
    again.release()


def test_a_preload_that_does_not_import_is_refused_with_its_name() -> None:
    pool = SandboxPool(SandboxSettings(slots=1), ["no_such_module"])
    with pytest.raises(SlotFailure, match="cannot import no_such_module: ModuleNotFoundError"):
        pool.start()
    assert pool.keeper_pids == []


# --- which backend ----------------------------------------------------------------------------------------------------


def test_without_bubblewrap_the_next_backend_is_taken_and_the_reason_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.sandbox.box.find_bubblewrap", lambda: None)
    pool = SandboxPool(SandboxSettings(slots=1))
    pool.start()
    pool.close()
    assert pool.backend == "landlock"
    assert [probe.backend for probe in pool.rejected] == ["zygote", "oneshot"]
    assert all("bubblewrap is not installed" in probe.why for probe in pool.rejected)
    assert pool.notes[0].startswith(
        "programs run in the sandbox backend landlock (zygote does not work here: bubblewrap"
    )


def test_the_expected_backend_needs_no_note(pool: SandboxPool) -> None:
    assert (pool.backend, pool.notes) == ("zygote", [])


def test_without_isolation_users_are_warned() -> None:
    pool = SandboxPool(SandboxSettings(slots=1, unsafe_subprocess=True))
    try:
        assert pool.run_one(Job("import os\nprint(len(os.listdir('/proc')) > 3)")).stdout == b"True\n"
        assert "WITHOUT A SANDBOX" in pool.notes[0]
    finally:
        pool.close()


def test_where_nothing_holds_the_sandbox_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends._CONFINEMENT, "zygote", "none")
    monkeypatch.setitem(backends._CONFINEMENT, "oneshot", "none")
    monkeypatch.setitem(backends._CONFINEMENT, "landlock", "none")
    with pytest.raises(NoSandbox, match=r"a job could read a file of its owner.*Install bubblewrap"):
        SandboxPool(SandboxSettings(slots=1)).start()
