"""What the resource plan is made of: nodes (this machine is one), the actors of a run, and where they go."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Role = Literal["driver", "learner", "engine", "verifier", "buffer"]


@dataclass(frozen=True, slots=True)
class Node:
    """One machine, or one Ray node of it. Nodes of the same `host` share memory; `memory` is in bytes.

    resources  custom Ray resources that the node offers, by name
    address    at which others reach it; empty if it is not known
    id         Ray's id of the node; empty if it is not one of a cluster that runs
    """

    cpus: float
    gpus: float
    memory: float
    host: str = "localhost"
    resources: Mapping[str, float] = field(default_factory=dict)
    address: str = ""
    id: str = ""

    @property
    def amounts(self) -> dict[str, float]:
        """What it offers by Ray's names, memory in bytes."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory, **self.resources}


def labels(nodes: Sequence[Node]) -> list[str]:
    """What users call each node, `gpu-01 (10.0.0.1)`; several Ray nodes of one machine are numbered."""
    names = [f"{node.host} ({node.address})" if node.address else node.host for node in nodes]
    numbers = [names[:place].count(name) + 1 for place, name in enumerate(names)]
    return [f"{name} #{number}" if names.count(name) > 1 else name for name, number in zip(names, numbers)]


@dataclass(frozen=True, slots=True)
class Actor:
    """One process of the run and what it asks for. `kind` is the verifier's name; `memory` is in bytes; `resources` are
    custom Ray resources."""

    role: Role
    index: int
    cpus: float = 0.0
    gpus: float = 0.0
    memory: float = 0.0
    kind: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`learner 0`, `verifier math 1`, `buffer`"""
        if self.role in ("driver", "buffer"):
            return self.role
        return " ".join(filter(None, (self.role, self.kind, str(self.index))))

    @property
    def is_bound(self) -> bool:
        """Whether it sends or receives weights: learner rank 0 and all engines, which some transports keep together."""
        return self.role == "engine" or (self.role == "learner" and self.index == 0)

    @property
    def amounts(self) -> dict[str, float]:
        """What it asks for by Ray's names, memory in bytes; nothing that it does not ask for."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory, **self.resources}
        return {name: amount for name, amount in asked.items() if amount}


@dataclass(frozen=True, slots=True)
class Placement(Actor):
    """An actor on the node with this number."""

    node: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Where every actor goes. `nodes[p.node]` is the node of placement `p`.

    together   the setting that keeps the actors that `is_bound` on one host; empty if none does
    """

    nodes: tuple[Node, ...]
    placements: tuple[Placement, ...]
    together: str = ""

    def of(self, role: Role) -> list[Placement]:
        """The placements of one role, by index."""
        return [p for p in self.placements if p.role == role]

    def on(self, node: int) -> list[Placement]:
        """The placements on one node."""
        return [p for p in self.placements if p.node == node]


def on_a_cluster() -> bool:
    """Whether RAY_ADDRESS names a cluster to run on; Ray sets it for a submitted job."""
    return "RAY_ADDRESS" in os.environ


def local_nodes() -> list[Node]:
    """This machine as a single node: CPUs this process may use, memory that is free now, GPUs by their device files.

    `/dev/nvidia<n>` tells of GPUs without importing torch, which takes seconds; `CUDA_VISIBLE_DEVICES` narrows them.
    """
    gpus = len(glob.glob("/dev/nvidia[0-9]*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = min(gpus, len([d for d in visible.split(",") if d.strip() not in ("", "-1")]))
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [Node(cpus, gpus, _free_memory())]


def _free_memory() -> float:
    """Bytes: what the kernel calls available, or less if a container's limit is nearer."""
    meminfo, limit, used = (
        Path(p) for p in ("/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")
    )
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    else:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return float(max(free, 0))
