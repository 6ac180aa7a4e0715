"""One task, and verdicts on answers to it."""

from __future__ import annotations

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.llm_judge.verifier import LlmJudgeVerifier

RUBRIC = "Task: {prompt}\nReference: {reference}\nAnswer: {answer}"
TASK = Task("1", "Why is the sky blue?", "d", "v", "scattering")
FAST = {"back_off_s": 0.01, "timeout_s": 1.0, "deadline_s": 3.0, "attempts": 3}


def judge(verifier: LlmJudgeVerifier, *texts: str, truncated: bool = False) -> list[Verdict]:
    return verifier.verify([Answer(TASK, text, truncated) for text in texts])
