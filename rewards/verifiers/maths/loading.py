"""When tasks are loaded: can answers be verified against their references? Only a worker can find out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence

from reprise.rewards.verifiers.maths.numbers import NeedsLibrary, PlainArithmetic
from reprise.rewards.verifiers.maths.verifiable import fault_of
from reprise.rewards.workers.workers import MAX_REQUEST_BYTES, Failure, Limits, WorkerPool

_EXAMINER = "reprise.rewards.verifiers.maths.worker:examine"
_WARM_UP = {"references": [r"\frac{\sqrt{2}}{2}", "x^2+2x+1"]}
_TOGETHER = 4  # references in one request: a slow one costs the others a second run
_MOST_PROCESSES = 16
_AT_ONCE = 200  # requests between two reports

# Of all that this process has looked at, within these limits: a recipe's tasks are checked more than once.
_faults: dict[tuple[Limits, str], str] = {}


def plain_fault(reference: str) -> str | None:
    """Why no answer could be verified against a reference, as far as text and plain numbers show; else None."""
    try:
        return fault_of(reference, PlainArithmetic())
    except NeedsLibrary:
        return None


def needs_worker(reference: str) -> bool:
    """Whether text and plain numbers leave open if answers can be verified against a reference."""
    try:
        fault_of(reference, PlainArithmetic())
    except NeedsLibrary:
        return True
    return False


def faults(references: Sequence[str], limits: Limits, report: Callable[[int], None]) -> dict[str, str]:
    """The references that no answer can be verified against, and why. Calls `report` with how many it has looked at.

    Each may use half of an answer's CPU time (`limits`): the other half is the answer's.
    """
    waiting = [reference for reference in dict.fromkeys(references) if (limits, reference) not in _faults]
    if waiting:
        halved = Limits(limits.cpu_s / 2, limits.wall_s, limits.memory_mb)
        cores = len(os.sched_getaffinity(0))
        pool = WorkerPool(_EXAMINER, _WARM_UP, max(1, min(cores, _MOST_PROCESSES, len(waiting) // 8)), halved)
        try:
            found, missed = _examine(waiting, pool, report)
        finally:
            pool.close()
        if missed:
            first, cause = next(iter(missed.items()))
            print(
                f"{len(missed):,} references could not be checked, {first!r} first: {cause}; if nothing can be "
                "compared with one of them, its answers will be infra errors",
                file=sys.stderr,
                flush=True,
            )
        _faults.update({(limits, reference): why for reference, why in found.items()})
    return {reference: why for reference in references if (why := _faults.get((limits, reference)))}


def _examine(
    waiting: Sequence[str], pool: WorkerPool, report: Callable[[int], None]
) -> tuple[dict[str, str], dict[str, str]]:
    """The fault of each reference, "" if it has none; and why the machine kept others from being looked at."""
    found: dict[str, str] = {}
    missed: dict[str, str] = {}
    batches = [waiting[i : i + _TOGETHER] for i in range(0, len(waiting), _TOGETHER)]
    for begin in range(0, len(batches), _AT_ONCE):
        some = batches[begin : begin + _AT_ONCE]
        alone = _ask(pool, some, found, missed)
        _ask(pool, [[reference] for reference in alone], found, missed)
        report(min((begin + _AT_ONCE) * _TOGETHER, len(waiting)))
    return found, missed


def _ask(
    pool: WorkerPool, batches: Sequence[Sequence[str]], found: dict[str, str], missed: dict[str, str]
) -> list[str]:
    """Fill in `found` and `missed`. Returns the references of batches that failed, to be asked about one by one."""
    requests = [{"references": list(batch)} for batch in batches]
    asked = [i for i, request in enumerate(requests) if len(json.dumps(request)) < MAX_REQUEST_BYTES - 1]
    again = [reference for i, batch in enumerate(batches) if i not in set(asked) for reference in batch]
    for i, outcome in zip(asked, pool.run([requests[i] for i in asked]), strict=True):
        if outcome.failure is None:
            found.update(zip(batches[i], outcome.value["faults"], strict=True))
        elif len(batches[i]) > 1:
            again += batches[i]
        elif outcome.failure is Failure.INFRA and not outcome.raised:
            missed[batches[i][0]] = outcome.detail  # the machine's doing: nothing is known of the reference
        else:
            found[batches[i][0]] = f"comparing it with anything ends in a {outcome.failure} ({outcome.detail})"
    return again
