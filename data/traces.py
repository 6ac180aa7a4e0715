"""Supervised examples: a task and a response to imitate."""

from __future__ import annotations

from dataclasses import dataclass

from reprise.core.types import Task


@dataclass(frozen=True, slots=True)
class Trace:
    """One example for the warm start.

    `response` is what the assistant writes after the chat template's generation prompt, without the end-of-sequence
    token, which the learner appends. `style` says how it was made.
    """

    task: Task
    response: str
    style: str
