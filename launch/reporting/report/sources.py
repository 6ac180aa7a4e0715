"""Reading a run's folder for the report: everything in it may be absent, half-written or wrong."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprise.core.json_lines import objects_in
from reprise.launch.reporting.lookup import lookup, number
from reprise.launch.reporting.metrics import is_written
from reprise.launch.reporting.run_summary import RUNNING

_KILLED = "its process ended without a word: it was killed, or its machine was lost; this is what was known by then"


@dataclass(frozen=True)
class RunRecord:
    """What was found in a run's folder.

    running   whether a process still writes it; None if that cannot be known
    steps     one mapping a step in order of `step`, lines of the same step merged; values as in metrics.jsonl
    summary   summary.json, or {}
    samples   lines of samples.jsonl
    recipe    text of recipe.yaml, or ""
    missing   sentences for the reader about what is not there or could not be read
    """

    name: str
    running: bool | None
    steps: Sequence[Mapping[str, Any]]
    summary: Mapping[str, object]
    samples: Sequence[Mapping[str, object]]
    recipe: str
    missing: Sequence[str]

    @classmethod
    def read(cls, run_dir: Path) -> RunRecord:
        """Read a run's folder; never fails for what is missing in it."""
        missing: list[str] = []
        running = is_written(run_dir / "metrics.jsonl")
        by_step: dict[int, dict[str, object]] = {}
        for line in _json_lines(run_dir / "metrics.jsonl", missing):
            if isinstance(step := line.get("step"), int):
                by_step.setdefault(step, {}).update(line)
        path = run_dir / "summary.json"
        summary = _as_it_stands(_summary(path, missing) if path.exists() or not running else {}, running)
        path = run_dir / "samples.jsonl"
        # Only evaluations leave samples: a supervised run has none, nor has one without held-out tasks.
        evaluated = any(lookup(summary, "pass_at_1", when) for when in ("before", "after"))
        samples = _json_lines(path, missing) if path.exists() or evaluated else []
        recipe = _text(run_dir / "recipe.yaml", missing)
        steps = [by_step[step] for step in sorted(by_step)]
        return cls(run_dir.absolute().name, running, steps, summary, samples, recipe, missing)

    @property
    def supervised(self) -> bool:
        """Whether it is a run of `reprise sft`; its recipe says so too while there is no summary."""
        written = "sft" if re.search(r"^stages:", self.recipe, re.MULTILINE) else ""
        return self.summary.get("kind", written) == "sft"

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one metric, over the lines that report it; NaN where the value is null."""
        points = [(line["step"], number(line[name])) for line in self.steps if name in line]
        return [step for step, _ in points], [value for _, value in points]

    def domains(self, prefix: str, leave_out: str) -> list[str]:
        """Sorted endings of the metrics that start with `prefix`, without `leave_out`."""
        names = {name for line in self.steps for name in line if name.startswith(prefix)}
        return sorted(name.removeprefix(prefix) for name in names if name != prefix + leave_out)

    @property
    def training_steps(self) -> int:
        """Lines that report a training step, not only an evaluation."""
        return sum("time/step" in line for line in self.steps)

    @property
    def steps_done(self) -> int:
        """As the summary says or, during a run, as metrics.jsonl does, which may be ahead of it."""
        said = number(self.summary.get("steps"))
        return max(int(said) if math.isfinite(said) else 0, self.training_steps)


def _summary(path: Path, missing: list[str]) -> dict[str, object]:
    text = _text(path, missing)
    if not text:
        return {}
    try:
        summary = json.loads(text)
    except (ValueError, RecursionError) as error:
        missing.append(f"summary.json is not valid JSON ({error}).")
        return {}
    if not isinstance(summary, dict):
        missing.append("summary.json does not hold an object.")
        return {}
    return summary


def _as_it_stands(summary: dict[str, object], running: bool | None) -> dict[str, object]:
    """A run that is written is running, whatever an earlier one has left; a killed one could not say so itself."""
    if running:
        return summary | RUNNING
    if running is None or summary.get("status") != RUNNING["status"]:
        return summary
    return summary | {"status": "interrupted", "reason": _KILLED}


def _text(path: Path, missing: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        missing.append(f"{path.name} could not be read ({error.strerror}).")
        return ""


def _json_lines(path: Path, missing: list[str]) -> list[dict[str, object]]:
    found = [record for _, record in objects_in(_text(path, missing))]
    records = [record for record in found if record is not None]
    broken = len(found) - len(records)
    if broken:
        missing.append(f"{path.name}: {broken} of {len(found)} lines could not be read and are left out.")
    return records
