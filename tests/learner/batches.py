"""Random ragged batches for the learner's tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reprise.core.types import FinishReason, Group, Task, Trajectory, Verdict
from reprise.learner.settings import LearnerSettings
from reprise.models import tiny

import objective_twin as twin  # isort: skip

VERSION = 3


def small_policy(folder: Path) -> Path:
    """A Qwen3 small enough for float64 twins, with weights far enough from zero that its distributions differ."""
    return tiny.build(folder, 0, width=32, layers=2, heads=4, kv_heads=2, head_dim=32, ffn=48, init_std=0.2)


def ragged_batch(folder: Path, seed: int, temperature: float, groups: int = 4, size: int = 4) -> list[Group]:
    """Groups of ragged trajectories with masked ones, untrained tokens, mixed versions and an off-policy mu.

    mu is the policy itself plus noise, wide enough that ratios leave the clip range on both sides.
    """
    rng = np.random.default_rng(seed)
    model = twin.load(folder)
    made = []
    for g in range(groups):
        task = Task(f"t{g}", "prompt", "domain", "verifier")
        prompt = rng.integers(10, 87, rng.integers(3, 9)).astype(np.int32)
        trajectories = []
        for _ in range(size):
            n = int(rng.integers(1, 24))
            blank = Trajectory(
                task.id,
                f"{task.id}#0",
                prompt,
                rng.integers(10, 87, n).astype(np.int32),
                np.zeros(n, np.float32),
                rng.integers(VERSION - 1, VERSION + 1, n).astype(np.int32),
                rng.random(n) < 0.9,
                FinishReason.STOP,
                Verdict.scored(1.0),
            )
            with torch.no_grad():
                own = twin.logprobs(model, blank, temperature).numpy()
            noisy = np.minimum(own + rng.normal(0, 0.5, n), 0).astype(np.float32)
            trajectories.append(replace(blank, behaviour_logprobs=noisy))
        advantages = rng.normal(0, 1, size).astype(np.float32)
        weighted = np.ones(size, bool)
        weighted[rng.integers(size)] = g % 2 == 0
        made.append(Group(f"{task.id}#0", task, tuple(trajectories), VERSION - 1, advantages * weighted, weighted))
    return made


def with_nan(batch: list[Group]) -> list[Group]:
    """The batch with one behaviour log-probability of a weighted trajectory that is not a number."""
    group = batch[0]
    i = int(np.flatnonzero(group.weighted & np.asarray([t.trainable.any() for t in group.trajectories]))[0])
    victim = group.trajectories[i]
    poisoned = victim.behaviour_logprobs.copy()
    poisoned[np.flatnonzero(victim.trainable)[0]] = np.nan
    trajectories = list(group.trajectories)
    trajectories[i] = replace(victim, behaviour_logprobs=poisoned)
    return [replace(group, trajectories=tuple(trajectories)), *batch[1:]]


def settings(**changed: object) -> LearnerSettings:
    """SGD without gradient clipping, and GRPO's clip of the ratio whatever the loss, unless changed."""
    clips = {"clip_low": 0.2, "clip_high": 0.28}
    return LearnerSettings(**{"optimizer": "sgd", "lr": 0.1, "grad_clip": 0.0, "token_budget": 64, **clips, **changed})
