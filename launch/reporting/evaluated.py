"""What an evaluation hands to the recorder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reprise.launch.reporting.run_folder import Sample
from reprise.launch.reporting.statistics import Evaluation


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Results of one evaluation, and the first few responses of each domain for users to read.

    curve     the same over the tasks of the run's curve alone, which every evaluation has; None if none was verified
    unverified  by domain, how many of how many responses could not be verified, by no fault of theirs; none of 0
    """

    results: Evaluation
    curve: Evaluation | None
    samples: list[Sample]
    unverified: Mapping[str, tuple[int, int]]
