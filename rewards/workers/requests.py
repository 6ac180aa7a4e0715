"""What verifiers with a `WorkerPool` share: requests that fit into a channel, and no blame for what the task does."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from reprise.core.types import Verdict
from reprise.rewards.base import Answer, Reason, Verifier
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


class WorkerVerifier(Verifier):
    """Verifies in the worker processes of its `pool`; equal requests are sent once."""

    pool: WorkerPool

    def asked(self, answer: Answer) -> Verdict | str:
        """The verdict, if no worker is needed for it; else the packed request for one."""
        raise NotImplementedError

    def harmless(self, request: str) -> str:
        """As in `run_fairly`."""
        raise NotImplementedError

    def verdict(self, request: str, response: Any) -> Verdict:
        """What a worker's response means."""
        raise NotImplementedError

    def start(self) -> None:
        self.pool.start()

    def close(self) -> None:
        self.pool.close()

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        asked = [self.asked(answer) for answer in answers]
        requests = list(dict.fromkeys(each for each in asked if isinstance(each, str)))
        found: dict[str, Verdict] = {}
        for request, outcome in zip(requests, run_fairly(self.pool, requests, self.harmless), strict=True):
            if outcome.failure is None:
                found[request] = self.verdict(request, outcome.value)
            elif outcome.failure is Failure.INFRA:
                found[request] = Verdict.infra_error(Reason.INFRA, outcome.detail)
            else:
                found[request] = Verdict.scored(0.0, Reason(outcome.failure), outcome.detail)
        return [found[each] if isinstance(each, str) else each for each in asked]
