"""What verifiers with a `WorkerPool` share: requests that fit into a channel, and no blame for what the task does."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from reprise.core.types import Verdict
from reprise.rewards.base import Reason
from reprise.rewards.workers.workers import MAX_REQUEST_BYTES, Failure, Outcome, WorkerPool

Request = TypeVar("Request")

_FRAME_BYTES = 2  # the quotation marks around a packed request


def pack(value: object) -> str:
    """A JSON value as a short ASCII string: written text shrinks to about half its bytes, other scripts to less."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()


def unpack(packed: str) -> Any:
    """The value that `pack` was given."""
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def fits(packed: str) -> bool:
    """Whether a pool accepts this packed request."""
    return len(packed) + _FRAME_BYTES < MAX_REQUEST_BYTES


def run_fairly(pool: WorkerPool, requests: Sequence[Request], harmless: Callable[[Request], Request]) -> list[Outcome]:
    """One outcome for each request. An answer is blamed for what happens with it and not without it, and for no more.

    harmless  the same request with an answer that no checker can choke on. Where it fares no better than the answer,
              the outcome is `Failure.INFRA`; where it does and the handler raised an exception, `Failure.CRASH`.
    """
    outcomes = pool.run(requests)
    suspects = [i for i, one in enumerate(outcomes) if one.raised or one.failure not in (None, Failure.INFRA)]
    for i, probe in zip(suspects, pool.run([harmless(requests[i]) for i in suspects]), strict=True):
        if probe.failure is not None:
            outcomes[i] = Outcome(failure=Failure.INFRA, detail=f"the task's own reference: {probe.detail}")
        elif outcomes[i].raised:
            outcomes[i] = Outcome(failure=Failure.CRASH, detail=outcomes[i].detail)
    return outcomes


def verify_in_workers(
    pool: WorkerPool,
    asked: Sequence[Verdict | str],
    harmless: Callable[[str], str],
    read: Callable[[str, Any], Verdict],
) -> list[Verdict]:
    """A verdict for each that is `asked`: it may be there already; else `read(request, response)` makes it of what a
    worker responds to the packed request. Equal requests are sent once."""
    requests = list(dict.fromkeys(each for each in asked if isinstance(each, str)))
    found: dict[str, Verdict] = {}
    for request, outcome in zip(requests, run_fairly(pool, requests, harmless), strict=True):
        if outcome.failure is None:
            found[request] = read(request, outcome.value)
        elif outcome.failure is Failure.INFRA:
            found[request] = Verdict.infra_error(Reason.INFRA, outcome.detail)
        else:
            found[request] = Verdict.scored(0.0, Reason(outcome.failure), outcome.detail)
    return [found[each] if isinstance(each, str) else each for each in asked]
