"""What the ranks of a `RankPool` are asked to do. Each returns plain numpy, the same on every rank unless said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from reprise.core.types import Group, Int32
from reprise.learner.settings import LearnerSettings, TrainEngineSettings

Weights = dict[str, np.ndarray]


@contextmanager
def learner(
    rank: int,
    world_size: int,
    port: int,
    settings: LearnerSettings,
    folder: Path,
    temperature: float = 1.0,
    seed: int = 0,
    dtype: str = "float32",
) -> Iterator[Any]:
    """A learner whose lm_head refuses to make logits."""
    from reprise.learner.engine import Engine
    from reprise.learner.learner import Learner

    engine = Engine(settings, folder, dtype, temperature, rank, world_size, "127.0.0.1", port, seed)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("full logits were asked for")

    engine.model.lm_head.forward = refuse
    try:
        yield Learner(engine, settings, seed)
    finally:
        engine.close()


def weights(made: Any) -> Weights:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in made.engine.named_weights()}


@contextmanager
def gradients_before_each_step(made: Any) -> Iterator[list[Weights]]:
    """Collects the full averaged gradient as it stands before each optimiser step."""
    from deepspeed.utils import safe_get_full_grad

    collected: list[Weights] = []
    deepspeed, model = made.engine.engine, made.engine.model
    original = deepspeed.step

    def step() -> None:
        named = model.named_parameters()
        collected.append({n: safe_get_full_grad(p).detach().cpu().numpy().copy() for n, p in named})
        original()

    deepspeed.step = step
    yield collected
    deepspeed.step = original


def train(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    batches: Sequence[Sequence[Group]],
    version: int,
    temperature: float,
    seed: int,
) -> dict[str, Any]:
    """Train on the batches one after the other; weights, gradients of every step and metrics of every batch."""
    with learner(rank, world_size, port, settings, folder, temperature, seed) as made:
        if settings.kl_coef:
            made.hold_reference(folder)
        with gradients_before_each_step(made) as gradients:
            metrics = [made.train_batch(batch, version) for batch in batches]
        return {"weights": weights(made), "gradients": gradients, "metrics": metrics}


def logprobs(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    sequences: Sequence[tuple[Int32, Int32]],
    temperature: float,
) -> list[np.ndarray]:
    with learner(rank, world_size, port, settings, folder, temperature) as made:
        return made.engine.logprobs(sequences)


def skip_and_go_on(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    good: Sequence[Group],
    bad: Sequence[Group] | None,
) -> dict[str, Any]:
    """Good step, bad step, good step, against good, good. Without a `bad` batch rank 0's gradient is made infinite."""
    with learner(rank, world_size, port, settings, folder) as made:
        made.train_batch(good, 0)
        before = weights(made)
        if bad is None:
            handle = made.engine.model.model.norm.weight.register_hook(lambda g: g * np.inf if rank == 0 else g)
            skipped = made.train_batch(good, 0)
            handle.remove()
        else:
            skipped = made.train_batch(bad, 0)
        after = weights(made)
        made.train_batch(good, 0)
        with_skip = weights(made)
    with learner(rank, world_size, port, settings, folder) as made:
        made.train_batch(good, 0)
        made.train_batch(good, 0)
        return {"before": before, "after": after, "metrics": skipped, "with_skip": with_skip, "without": weights(made)}


def fine_tune_then_rl(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    stage: TrainEngineSettings,
    lr: float,
    folder: Path,
    exported: Path,
    batches: Sequence[Sequence[tuple[Int32, Int32]]],
    batch: Sequence[Group],
) -> dict[str, Any]:
    """A supervised stage, export, one RL batch; and the same batch on a fresh learner that starts from the export."""
    from reprise.learner.export import export
    from reprise.learner.packing import document
    from reprise.learner.sft import sft_step

    with learner(rank, world_size, port, settings, folder) as made:
        made.engine.begin_stage(stage)
        steps = [sft_step(made.engine, [document(*pair) for pair in pairs], lr) for pairs in batches]
        made.engine.begin_stage(settings)
        export(made.engine, exported)
        tuned = weights(made)
        logprobs = made.engine.logprobs(batches[0][:4])
        made.train_batch(batch, 0)
        continued = weights(made)
    with learner(rank, world_size, port, settings, exported) as made:
        made.train_batch(batch, 0)
        return {
            "steps": steps,
            "tuned": tuned,
            "logprobs": logprobs,
            "continued": continued,
            "fresh": weights(made),
        }


def stop_and_resume(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    between: Path,
    batch: Sequence[Group],
) -> dict[str, Any]:
    """Two batches in one go, against one batch, export and state, and the second batch on a learner made from them."""
    from reprise.learner.export import export

    with learner(rank, world_size, port, settings, folder, seed=1) as made:
        made.train_batch(batch, 0)
        export(made.engine, between)
        state, steps = made.state(), made.engine.optimizer_steps
        straight = made.train_batch(batch, 1), weights(made)
    with learner(rank, world_size, port, settings, between, seed=2) as made:
        made.load_state(state)
        made.engine.optimizer_steps = steps
        return {"straight": straight, "resumed": (made.train_batch(batch, 1), weights(made))}


def train_on_nothing(
    rank: int, world_size: int, port: int, *, settings: LearnerSettings, folder: Path, batch: Sequence[Group]
) -> dict[str, Any]:
    with learner(rank, world_size, port, settings, folder) as made:
        before = weights(made)
        return {"metrics": made.train_batch(batch, 0), "before": before, "after": weights(made)}


def metrics_of_a_batch(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    batch: Sequence[Group],
    dtype: str,
) -> dict[str, float]:
    with learner(rank, world_size, port, settings, folder, dtype=dtype) as made:
        return made.train_batch(batch, 0)


def skip_until_it_ends(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    good: Sequence[Group],
    bad: Sequence[Group],
    planted: str,
) -> str:
    """A good batch, and then only ones that are skipped, until the learner gives up: what it says."""
    from reprise.learner.skipped import TrainingStuck

    with learner(rank, world_size, port, settings, folder) as made:
        made.train_batch(good, 0)
        if planted == "gradient":
            made.engine.model.model.norm.weight.register_hook(lambda g: g * np.inf if rank == 0 else g)
        if planted == "logprobs":
            made.engine.model.model.norm.weight.data.fill_(np.nan)
        try:
            for _ in range(settings.max_skipped):
                made.train_batch(bad if planted == "loss" else good, 0)
        except TrainingStuck as error:
            return str(error)
    raise AssertionError("it goes on and on")
