"""What vLLM is started with, without starting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reprise.learner.publishing.settings import TRANSPORTS
from reprise.rollout import vllm_engine
from reprise.rollout.settings import RolloutSettings


class _Stop(Exception):
    """The arguments are there: nothing else is wanted."""


def arguments(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}

    def stop(**arguments: Any) -> None:
        given.update(arguments)
        raise _Stop

    monkeypatch.setattr(vllm_engine, "AsyncEngineArgs", stop)
    with pytest.raises(_Stop):
        vllm_engine.VllmEngine(RolloutSettings(), Path("policy"), dtype=dtype, transport=TRANSPORTS["nccl"], seed=0)
    return given


def test_under_bfloat16_the_engine_s_head_is_float32_as_the_learner_s_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert arguments(monkeypatch, "bfloat16")["hf_overrides"] == {"head_dtype": "float32"}
    assert not arguments(monkeypatch, "float32").get("hf_overrides")
