"""Shared by all tests: a real vLLM engine, started once a session, and the environment its processes need."""

from __future__ import annotations

import os

# Before anything imports torch or vLLM: two cores are shared by pytest, engines and learner ranks.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_harness import LONGEST, LiveEngine
from hypothesis import settings

pytest_plugins = ["lanes", "durations"]

# A slow machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-jobs", type=int, default=400, help="jobs of the sandbox's soak; `make soak`: 5000")


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen3, randomly initialised, as a Hugging Face folder."""
    from reprise.models.tiny import build

    return build(tmp_path_factory.mktemp("policy"), seed=0)


@pytest.fixture(scope="session")
def motif2_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's policy, a small Motif-2, randomly initialised, as a Hugging Face folder."""
    from reprise.models.motif2.build import build

    return build(tmp_path_factory.mktemp("motif2"), seed=0, max_position_embeddings=LONGEST)


@pytest.fixture(scope="session")
def live_engine(motif2_policy: Path) -> Iterator[LiveEngine]:
    """A real vLLM engine on the demo's policy, driven from a thread of its own."""
    engine = LiveEngine(motif2_policy)
    yield engine
    engine.close()
