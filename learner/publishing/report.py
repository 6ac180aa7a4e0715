"""What one weight update took. Free of torch and vLLM: it travels to the driver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishReport:
    """A published version.

    seconds   wall time, the check included
    nbytes    bytes of one copy of the weights
    mismatch  mean absolute difference of the fixed tokens' log-probabilities between learner and engine, nats
    """

    version: int
    seconds: float
    nbytes: int
    mismatch: float
