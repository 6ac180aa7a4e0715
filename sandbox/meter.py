"""What a job's processes use together, looked at while it runs."""

from __future__ import annotations

from reprise.sandbox import processes
from reprise.sandbox.base import Ending, JobLimits
from reprise.sandbox.cgroups import Group

_TICK_S = 0.02
_SHORT_TICK_S = 0.004  # where children end and nobody waits for them: what they did since the last look is lost


class Meter:
    """Of one job, from its start."""

    def __init__(self, zygote: int, base_bytes: int, group: Group | None) -> None:
        """zygote: the process it is a child of; base_bytes: what that one has resident; group: their cgroup."""
        self._zygote, self._base_bytes, self._group = zygote, base_bytes, group
        self._offset_s: float | None = None  # from the cgroup's count, which began before the job, to the job's
        self._cpu = processes.CpuOfAll()
        self._seen_s = 0.0
        self.tick_s = _TICK_S  # until the next look

    def beyond(self, limits: JobLimits) -> Ending | None:
        """Look; the limit that they have passed, if any."""
        pids = [pid for child in processes.children(self._zygote) for pid in processes.tree(child)]
        now = {pid: used for pid in pids if (used := processes.usage(pid)) is not None}
        vanished_s = self._cpu.vanished_s
        self._seen_s = self._cpu.add(now)
        if self._group is not None and self._offset_s is None:  # not earlier: most jobs end before the first look
            self._offset_s = self._seen_s - self._group.cpu_s()
        self.tick_s = _SHORT_TICK_S if self._cpu.vanished_s > vanished_s else _TICK_S
        if self.cpu_s() >= limits.cpu_s:
            return Ending.TIMEOUT
        allowed = self._base_bytes + (limits.memory_mb << 20)
        unmapped = sum(processes.unmapped_bytes(pid) for pid in now)
        # Pages shared with the zygote count in each process: the dearer measure says whether it is really too much.
        if unmapped + sum(used.resident for used in now.values()) > allowed:
            exact = sum(processes.proportional_bytes(pid) for pid in now)
            if unmapped + exact > allowed or exact == 0:
                return Ending.MEMORY
        return None

    def cpu_s(self) -> float:
        """CPU seconds so far: the kernel's count where there is a cgroup, else what was seen at the last look."""
        if self._group is None or self._offset_s is None:
            return self._seen_s
        return max(self._seen_s, self._group.cpu_s() + self._offset_s)

    def delay_s(self) -> float | None:
        """Seconds that those which are left were ready to run and had no core; None if the kernel does not say."""
        pids = [pid for child in processes.children(self._zygote) for pid in processes.tree(child)]
        delays = [processes.delay_s(pid) for pid in pids]
        return None if None in delays else sum(filter(None, delays))
