"""Entries of reasoning-gym as tasks."""

from __future__ import annotations

from typing import Any

import reasoning_gym
from reasoning_gym.factory import DATASETS

from reprise.core.types import Task
from reprise.rewards.verifiers.reasoning_gym.verifier import FOOLED

SCORED = sorted(set(DATASETS) - {"composite", *FOOLED})
EVALUATING = ["countdown", "puzzle24", "polynomial_multiplication", "simple_integration", "intermediate_integration"]
EVALUATING += ["n_queens", "binary_matrix", "spiral_matrix", "string_insertion"]


def entry_task(dataset: str, seed: int = 1, **config: Any) -> Task:
    entry = reasoning_gym.create_dataset(dataset, size=3, seed=seed, **config)[0]
    return Task(dataset, entry["question"], "gym", "reasoning_gym", entry["answer"], entry["metadata"])


def task(answer: Any, **metadata: Any) -> Task:
    return Task(id="t1", prompt="?", domain="d", verifier="v", answer=answer, metadata=metadata)
