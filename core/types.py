"""The types that every package shares.

They are plain, immutable and free of Ray, torch and I/O, so that each package can build and test them in microseconds.
Token ids and per-token records travel as numpy arrays end to end; text is made from them for users, never the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from reprise.core.printable import printable_lines

# Nats above 0 up to which a log-probability is taken for a rounding error: a kernel's, of a token that is certain.
_ROUNDING = 1e-3
# What a verdict's texts may hold, in characters: they go into files, messages and the buffer, one for each answer.
REASON_CHARS, EXPLANATION_CHARS = 60, 500

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Task:
    """One problem to pose to the policy.

    `prompt` is a plain user message or a list of chat messages (`{"role": ..., "content": ...}`). `answer` is the
    reference that only the verifier sees. `verifier` names an entry of the recipe's `rewards.verifiers`.
    """

    id: str
    prompt: str | list[dict[str, str]]
    domain: str
    verifier: str
    answer: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages, ready for a chat template."""
        return [{"role": "user", "content": self.prompt}] if isinstance(self.prompt, str) else self.prompt


class Status(StrEnum):
    """What a verifier could say about an answer. Only `SCORED` carries a score."""

    SCORED = "scored"
    UNPARSEABLE = "unparseable"
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one answer.

    A wrong, crashing, timed-out or memory-hungry *answer* is `scored`; a failure that does not depend on the answer is
    `infra_error`; an answer that cannot be read is `unparseable`. Neither of the last two is ever turned into a zero.

    detail  JSON values: `reason`, one word by which verdicts are counted (`rewards.base.Reason`), `explanation`, words
            for users, and whatever else the verifier reports; empty values are left out. Reason and explanation are cut
            (to 60 and 500 characters) and lose their control characters, whoever wrote them
    """

    status: Status
    score: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.score is not None) != (self.status is Status.SCORED):
            raise ValueError(
                f"a verdict carries a score exactly when it is scored, not {self.status} with {self.score}"
            )
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"a verdict's score must be finite, not {self.score}")
        reason, said = self.detail.get("reason", ""), self.detail.get("explanation", "")
        # Quick, as there is one for each answer: printable is a little less than what is harmless.
        short = type(reason) is type(said) is str and len(reason) <= REASON_CHARS and len(said) <= EXPLANATION_CHARS
        if not (short and (reason + said).isprintable()):
            object.__setattr__(self, "detail", _bounded(self.detail))

    @property
    def was_unparseable(self) -> bool:
        """Whether the answer could not be found or read, even if the recipe makes that score 0."""
        return self.status is Status.UNPARSEABLE or self.detail.get("unparseable") is True

    @property
    def nbytes(self) -> int:
        """Roughly what the detail holds, in bytes."""
        return _nbytes(self.detail)

    @property
    def reason(self) -> str:
        """The one word it is counted by; empty if the verifier gave none."""
        return str(self.detail.get("reason", ""))

    @property
    def explanation(self) -> str:
        return str(self.detail.get("explanation", ""))

    @classmethod
    def scored(cls, score: float, reason: str = "", explanation: str = "", **more: object) -> Verdict:
        return cls(Status.SCORED, float(score), _detail(reason, explanation, more))

    @classmethod
    def unparseable(cls, reason: str = "", explanation: str = "", **more: object) -> Verdict:
        return cls(Status.UNPARSEABLE, None, _detail(reason, explanation, more))

    @classmethod
    def infra_error(cls, reason: str = "", explanation: str = "", **more: object) -> Verdict:
        return cls(Status.INFRA_ERROR, None, _detail(reason, explanation, more))


def _bounded(detail: Mapping[str, object]) -> Mapping[str, object]:
    """The detail with its texts cut and harmless."""
    bounds = {"reason": REASON_CHARS, "explanation": EXPLANATION_CHARS}
    return {**detail, **{n: printable_lines(detail[n], most) for n, most in bounds.items() if n in detail}}


def _nbytes(value: object) -> int:
    """Bytes of the text and numbers in a detail, nested ones included; of what is no JSON, of its `repr`."""
    if isinstance(value, Mapping):
        return sum(_nbytes(key) + _nbytes(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_nbytes, value))
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, int | float) or value is None:
        return 8
    return len(repr(value))


def _detail(reason: str, explanation: str, more: Mapping[str, object]) -> dict[str, object]:
    given = {"reason": str(reason), "explanation": explanation, **more}
    return {key: value for key, value in given.items() if value not in ("", None)}


class FinishReason(StrEnum):
    """Why sampling ended: the policy stopped by itself, or its token limit cut it off."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One response of the policy to one task, token by token.

    prompt_ids          int32[P]
    response_ids        int32[R]
    behaviour_logprobs  float32[R]  nats, under the distribution each token was sampled from (after temperature)
    versions            int32[R]    the policy version that sampled each token; a response may span several
    trainable           bool[R]     false on tokens the policy did not sample (tool output)
    """

    task_id: str
    group_id: str
    prompt_ids: Int32
    response_ids: Int32
    behaviour_logprobs: Float32
    versions: Int32
    trainable: Bool
    finish_reason: FinishReason
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        n = len(self.response_ids)
        lengths = {name: len(getattr(self, name)) for name in ("behaviour_logprobs", "versions", "trainable")}
        if any(length != n for length in lengths.values()):
            raise ValueError(f"trajectory of task {self.task_id!r}: {n} response tokens but {lengths}")

    @property
    def truncated(self) -> bool:
        """True if the token limit ended the response."""
        return self.finish_reason is FinishReason.LENGTH

    @property
    def has_valid_logprobs(self) -> bool:
        """Whether each trainable token could have been sampled as recorded: a log-probability, finite and at most 0."""
        logprobs = self.behaviour_logprobs[self.trainable]
        return bool(np.isfinite(logprobs).all() and (logprobs <= _ROUNDING).all())

    @property
    def oldest_version(self) -> int:
        """The lowest version among the trainable tokens; of all tokens if none is trainable."""
        versions = self.versions[self.trainable] if self.trainable.any() else self.versions
        return int(versions.min()) if len(versions) else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and of the verdict, for the buffer's memory bound."""
        arrays = (self.prompt_ids, self.response_ids, self.behaviour_logprobs, self.versions, self.trainable)
        return sum(a.nbytes for a in arrays) + (self.verdict.nbytes if self.verdict is not None else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The G trajectories of one task, whose scores are compared with one another.

    advantages  float32[G]  group-relative; 0 where `weighted` is false
    weighted    bool[G]     whether the trajectory enters loss and normaliser (scored and not masked)
    start_version           the version that was current when the group was admitted, at most every token's version
    """

    id: str
    task: Task
    trajectories: tuple[Trajectory, ...]
    start_version: int
    advantages: Float32 | None = None
    weighted: Bool | None = None

    @property
    def oldest_version(self) -> int:
        """The lowest policy version among the trainable tokens of the group."""
        return min((t.oldest_version for t in self.trajectories if len(t.response_ids)), default=self.start_version)

    def verified(self, verdicts: Sequence[Verdict]) -> Group:
        """The same group, with a verdict for each trajectory, in their order."""
        pairs = zip(self.trajectories, verdicts, strict=True)
        return replace(self, trajectories=tuple(replace(t, verdict=verdict) for t, verdict in pairs))

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in self.trajectories)
