"""What the summaries of both kinds of run share."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import ClassVar

from rich.console import RenderableType

from reprise.core.errors import RunError
from reprise.core.files import write_atomically
from reprise.launch.reporting.run_folder import RunFolder

RUNNING = {"status": "running", "reason": ""}


@dataclass(slots=True)
class RunSummary(ABC):
    """Filled in during the run, so that an interrupted one has a summary too. None is what was not measured.

    status          "finished", "interrupted" or "failed", in the file also "running"; `reason` says why if not finished
    learn_seconds   time the learner spent in passes and optimiser steps
    nodes           names of the actors on each node, by its host name and address
    phases          seconds by phase, in order
    failures        counts of what went wrong without ending the run (skipped steps, tracking, ...), by name
    warnings        what the run warned of, in order
    resume          the command that continues a run that ended early; None if it has no checkpoint
    """

    _REWRITTEN: ClassVar[Collection[str]] = ()

    name: str
    status: str = "interrupted"  # until the run says that it is finished
    reason: str = "the run did not reach its end"
    steps: int = 0
    wall_seconds: float = 0.0
    learn_seconds: float | None = None
    tokens_per_second: float | None = None
    nodes: Mapping[str, list[str]] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    resume: str | None = None

    def finished(self) -> None:
        """The run reached its end."""
        self.status, self.reason = "finished", ""

    def failed(self, error: BaseException) -> None:
        """The run was ended by `error`; Ctrl-C is an interruption."""
        self.status, self.reason = ending(error)

    def as_dict(self) -> dict[str, object]:
        """What `summary.json` holds. What was not measured is null or an empty object."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in self._REWRITTEN}
        return as_json(values | self._derived())

    def _derived(self) -> dict[str, object]:
        """What the file holds beside the fields, and in place of those in `_REWRITTEN`."""
        return {}

    def write(self, run: RunFolder, running: bool = False) -> None:
        """Write `summary.json`, whole or not at all; `running`: the run has not ended."""
        values = self.as_dict() | (RUNNING if running else {})
        write_atomically(run.summary, json.dumps(values, indent=2, allow_nan=False) + "\n")

    @abstractmethod
    def table(self) -> RenderableType:
        """The table at the end of a run."""


def ending(error: BaseException) -> tuple[str, str]:
    """Status and reason of a run that an error ended; Ctrl-C and signals are interruptions."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", str(error) or "Ctrl-C"
    return "failed", str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"


def as_json(values: Mapping[str, object]) -> dict[str, object]:
    """The values with dataclasses as objects, and null for every number that JSON does not have."""
    return {key: _as_json(value) for key, value in values.items()}


def _as_json(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return as_json(value)
    if isinstance(value, list | tuple):
        return [_as_json(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
