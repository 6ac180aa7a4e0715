"""A judge's endpoint, and verifiers that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from judge_server import JudgeServer, judge_server
from judging import FAST, RUBRIC

from reprise.rewards.verifiers.llm_judge.verifier import LlmJudgeVerifier


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judge_server() as server:
        yield server


@pytest.fixture
def make(server: JudgeServer) -> Iterator[Callable[..., LlmJudgeVerifier]]:
    made: list[LlmJudgeVerifier] = []

    def make(**args: Any) -> LlmJudgeVerifier:
        made.append(LlmJudgeVerifier(**{"base_url": server.url, "model": "judge", "rubric": RUBRIC, **FAST, **args}))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()
