"""What a verifier is: the protocol of every verifier, built-in or plug-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from reprise.core.types import Task, Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of the policy, as a verifier sees it.

    task       what was asked, with the reference in `task.answer`
    text       the decoded response, special tokens skipped, reasoning included with the marks that open and close it
    truncated  True if the token limit cut the response off
    """

    task: Task
    text: str
    truncated: bool = False


class Reason(StrEnum):
    """The `reason` in a verdict's detail, by which verdicts are counted."""

    CORRECT = "correct"
    PARTIAL = "partial"
    WRONG = "wrong"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    OUTPUT_LIMIT = "output_limit"
    NO_ANSWER = "no_answer"
    UNREADABLE = "unreadable"
    MALFORMED = "malformed"
    GATE = "gate"
    INVALID_RESULT = "invalid_result"
    INFRA = "infra"


class Verifier(Protocol):
    """Gives answers their verdicts, in batches.

    The life of a verifier: `__init__` takes the recipe's `args` as keywords, checks them (ValueError or TypeError on a
    bad one) and starts nothing, because the recipe is checked on a machine that may never verify; `start` acquires what
    it needs; `verify` is called any number of times; `close` releases everything and may be called without `start`,
    or twice. A verifier that holds no resources inherits the empty `start` and `close` from this class.

    `verify` returns one verdict for each answer, in the order of the answers, and follows the meaning of `Status`:
    - scored: the answer was found and checked. An answer that is wrong, or makes its checker crash, hang or run out of
      memory, is scored too: that is its own fault.
    - unparseable: no answer was found in the text, or it cannot be read. So is a truncated response without an answer.
    - infra_error: verifying failed for a cause other than the answer; it is verified again.
    It is deterministic, never evaluates the text as code, and takes any text: empty, huge, or not valid Unicode. An
    exception that escapes from `verify` is taken for an infra_error of every answer of the call.
    """

    def start(self) -> None:
        """Acquire what verifying needs (processes, connections), so that the first answer does not wait for it."""
        return  # an empty body would make it abstract

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer, in the same order."""
        ...

    def notes(self) -> list[str]:
        """Once started: what users must know about it on this machine, such as a sandbox that is weaker than
        elsewhere; shown when a run starts, and in its table."""
        return []

    def may_be_tried(self) -> bool:
        """Whether `--dry-run` and the start of a run may start it on their machine and have it verify one harmless
        answer; not what costs money or asks a service. May be called without `start`."""
        return True

    def within(self, deadline_s: float) -> None:
        """Called before any task is checked, with the recipe's `deadline_s`: seconds until its actor is killed."""
        return

    def check_task(self, task: Task) -> None:
        """Raise UserError if this task could never be verified (no reference, a malformed one). Needs no `start`."""
        return

    def check_tasks(self, tasks: Sequence[Task], report: Callable[[int], None]) -> dict[int, str]:
        """What is wrong with tasks, by place, that `check_task` accepted but no answer could be verified against, where
        only workers can find out. Called once when tasks are loaded, without `start`; may take minutes, and then calls
        `report` with how many it has looked at."""
        return {}

    def close(self) -> None:
        """Release everything; safe to call twice, or without `start`."""
        return
