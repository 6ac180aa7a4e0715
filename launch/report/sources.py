"""Reading a run's folder for the report: everything in it may be absent, half-written or wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunRecord:
    """What was found in a run's folder.

    steps     one mapping a step in order of `step`, lines of the same step merged; values as in metrics.jsonl
    summary   summary.json, or {}
    samples   lines of samples.jsonl
    recipe    text of recipe.yaml, or ""
    missing   sentences for the reader about what is not there or could not be read
    """

    name: str
    steps: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    recipe: str
    missing: Sequence[str]

    @classmethod
    def read(cls, run_dir: Path) -> RunRecord:
        """Read a run's folder; never fails for what is missing in it."""
        missing: list[str] = []
        by_step: dict[int, dict[str, Any]] = {}
        for line in _json_lines(run_dir / "metrics.jsonl", missing):
            if isinstance(line.get("step"), int):
                by_step.setdefault(line["step"], {}).update(line)
        summary: Any = {}
        text = _text(run_dir / "summary.json", missing)
        if text:
            try:
                summary = json.loads(text)
            except ValueError as error:
                missing.append(f"summary.json is not valid JSON ({error}).")
            if not isinstance(summary, dict):
                missing.append("summary.json does not hold an object.")
                summary = {}
        samples = _json_lines(run_dir / "samples.jsonl", missing)
        recipe = _text(run_dir / "recipe.yaml", missing)
        steps = [by_step[step] for step in sorted(by_step)]
        return cls(run_dir.absolute().name, steps, summary, samples, recipe, missing)

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


def number(value: Any) -> float:
    """A float, NaN for anything that is not a number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def lookup(tree: Any, *keys: str) -> Any:
    """`tree[keys[0]][keys[1]]...`, or None where the path ends early."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _text(path: Path, missing: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        missing.append(f"{path.name} could not be read ({error.strerror}).")
        return ""


def _json_lines(path: Path, missing: list[str]) -> list[dict[str, Any]]:
    records, broken = [], 0
    for line in _text(path, missing).split("\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            broken += 1
    if broken:
        missing.append(f"{path.name}: {broken} of {broken + len(records)} lines could not be read and are left out.")
    return records
