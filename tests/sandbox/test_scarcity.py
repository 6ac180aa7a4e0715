"""Where descriptors run out or somebody presses Ctrl-C: nothing leaks, no answer is blamed, nobody waits endlessly."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

from reprise.sandbox import Call, Ending, Job, SandboxSettings
from reprise.sandbox.box import Box
from reprise.sandbox.pool import SandboxPool, _Turn
from reprise.sandbox.slot import Slot, SlotFailure

pytestmark = pytest.mark.slow


DOUBLE = Job("def f(x): return x * 2", call=Call("f", [1]))


def test_a_job_without_descriptors_for_its_streams_is_nobodys_fault(
    pool: SandboxPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = os.memfd_create

    def scarce(name: str, flags: int) -> int:
        if name == "stderr":
            raise OSError(errno.EMFILE, "Too many open files")
        return create(name, flags)

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "memfd_create", scarce)
        assert [result.ending for result in pool.run([DOUBLE] * 3)] == [Ending.INFRA] * 3
    assert len(os.listdir("/proc/self/fd")) == before, "those that were opened are closed"
    assert pool.run_one(DOUBLE).value == 2


def test_a_slot_without_descriptors_to_start_with_fails_and_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(name: str, flags: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    slot = Slot(Box("none"), None)
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "memfd_create", scarce)
    with pytest.raises(SlotFailure, match="Too many open files"):
        slot.start()
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_who_is_interrupted_while_waiting_to_be_alone_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turn, shared = _Turn(), threading.Event()

    def interrupted(condition: Callable[[], bool]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(turn._changed, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt), turn.alone():
            pass

    def share() -> None:
        with turn.shared():
            shared.set()

    threading.Thread(target=share, daemon=True).start()
    assert shared.wait(5)


def test_slots_are_released_though_one_of_them_fails_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []

    class Fragile:
        def __init__(self, number: int) -> None:
            self.number = number

        def release(self) -> None:
            if self.number == 0:
                raise OSError(errno.EIO, "Input/output error")
            released.append(self.number)

    pool = SandboxPool(SandboxSettings(slots=3))
    monkeypatch.setattr(pool, "_slots", [Fragile(number) for number in range(3)])
    with pytest.raises(OSError, match="Input/output error"):
        pool.close()
    assert sorted(released) == [1, 2]
    pool.close()
