"""Small groups and settings of the buffer, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reprise.buffer.settings import BufferSettings
from reprise.core.types import FinishReason, Group, Task, Trajectory, Verdict

UNPARSEABLE = Verdict.unparseable("no answer")
INFRA_ERROR = Verdict.infra_error("worker died")


def trajectory(
    group_id: str, verdict: float | Verdict | None, versions: Sequence[int] = (0,), truncated: bool = False
) -> Trajectory:
    """A response of len(versions) tokens; `verdict` is a score, a verdict or None (not verified)."""
    n = len(versions)
    return Trajectory(
        task_id=group_id,
        group_id=group_id,
        prompt_ids=np.arange(3, dtype=np.int32),
        response_ids=np.arange(n, dtype=np.int32),
        behaviour_logprobs=np.full(n, -0.5, dtype=np.float32),
        versions=np.array(versions, dtype=np.int32),
        trainable=np.ones(n, dtype=np.bool_),
        finish_reason=FinishReason.LENGTH if truncated else FinishReason.STOP,
        verdict=Verdict.scored(verdict) if isinstance(verdict, int | float) else verdict,
    )


def group(
    group_id: str,
    verdicts: Sequence[float | Verdict | None] = (0.0, 1.0),
    start: int = 0,
    versions: Sequence[int] | None = None,
    truncated: Sequence[int] = (),
) -> Group:
    """A group with these verdicts whose tokens have `versions` (all `start` if None); `truncated` holds indices."""
    return Group(
        id=group_id,
        task=Task(id=group_id, prompt="1+1", domain="addition", verifier="exact", answer="2", metadata={"digits": 1}),
        trajectories=tuple(
            trajectory(group_id, verdict, (start,) if versions is None else versions, i in truncated)
            for i, verdict in enumerate(verdicts)
        ),
        start_version=start,
    )


def settings(max_uses: int = 2, max_age: int = 4, **changes: Any) -> BufferSettings:
    """Batches of two fresh and two reused groups, with room for plenty."""
    keys: dict[str, Any] = {
        "batch_groups": 4,
        "fresh_fraction": 0.5,
        "max_groups": 1000,
        "max_bytes_mb": 100.0,
        "starvation_groups": 10_000,
        "normalize_std": True,
        "truncated": "keep",
        "take_deadline_s": 60.0,
        "reuse": {"max_uses": max_uses, "max_age": max_age},
    }
    return BufferSettings(**(keys | changes))


def plain(value: Any) -> Any:
    """The value with arrays as (dtype, list) pairs, so that == compares states exactly."""
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
