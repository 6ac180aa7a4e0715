"""Small DeepSpeed engines for tests of optimisers and checkpoints; jobs for a `RankPool`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reprise.core.errors import RunError, UserError
from reprise.learner.settings import LearnerSettings

Weights = dict[str, np.ndarray]
BATCH = 4


class Net(torch.nn.Module):
    """Matrices of odd shapes, an embedding, norms and biases: flat partitions cut through most of them."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(11, width)
        self.up = torch.nn.Linear(width, 13)
        self.norm = torch.nn.LayerNorm(13)
        self.down = torch.nn.Linear(13, width, bias=False)
        self.lm_head = torch.nn.Linear(width, 11, bias=False)

    def forward(self, ids: torch.Tensor | None, gradient: float = 0.0) -> torch.Tensor:
        """Logits; without ids a sum whose gradient is `gradient` in every element of `up`'s weight."""
        if ids is None:
            return gradient * self.up.weight.float().sum()
        hidden = self.embed_tokens(ids)
        return self.lm_head(hidden + self.down(torch.tanh(self.norm(self.up(hidden)))))


@contextmanager
def engine(
    rank: int,
    world_size: int,
    port: int,
    settings: LearnerSettings,
    dtype: str = "float32",
    seed: int = 0,
    width: int = 7,
) -> Iterator[Any]:
    from reprise.learner import ranks
    from reprise.learner.optim import attach, build_optimizer, deepspeed_config

    import deepspeed  # isort: skip

    device = ranks.join(rank, world_size, "127.0.0.1", port, 60.0)
    torch.manual_seed(seed)
    net = Net(width).to(device=device, dtype=getattr(torch, dtype))
    count = sum(p.numel() for p in net.parameters())
    made, *_ = deepspeed.initialize(
        model=net,
        optimizer=build_optimizer(net, settings, on_gpu=device.type == "cuda"),
        config=deepspeed_config(settings, dtype, count, 2),
    )
    made.basic_optimizer.state.clear()
    attach(made)
    try:
        yield made
    finally:
        made.destroy()


def batch(step: int) -> torch.Tensor:
    """int64[BATCH, 5]: the global batch of a step."""
    return torch.randint(0, 11, (BATCH, 5), generator=torch.Generator().manual_seed(step))


def loss_of(net: Any, ids: torch.Tensor) -> torch.Tensor:
    """Sum over the rows, so that rows of ranks and micro-batches add up."""
    logits = net(ids[:, :-1]).float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")


def train(made: Any, rank: int, world_size: int, steps: range, lr: float = 0.05, micro: int = 1) -> list[float]:
    """Optimiser steps on the global batches; the local losses."""
    losses = []
    for step in steps:
        for group in made.basic_optimizer.param_groups:
            group["lr"] = lr
        mine = batch(step).chunk(world_size)[rank].to(made.device)
        parts = mine.chunk(micro)
        for k, part in enumerate(parts):
            made.set_gradient_accumulation_boundary(k == len(parts) - 1)
            loss = loss_of(made, part) * world_size / BATCH
            made.backward(loss, scale_wrt_gas=False)
            losses.append(float(loss))
        made.step()
    return losses


def weights(made: Any) -> Weights:
    import deepspeed

    found = {}
    for name, parameter in made.module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], enabled=made.zero_optimization_stage() == 3):
            found[name] = parameter.detach().float().cpu().numpy().copy()
    return found


def draws() -> list[float]:
    return [float(torch.rand(())), float(np.random.rand()), random.random()]


@contextmanager
def writing_held_back() -> Iterator[threading.Event]:
    """Files of checkpoints are written only once the event is set."""
    from reprise.learner.checkpoints.shards import Snapshot

    release, write = threading.Event(), Snapshot.write

    def held_back(*args: Any) -> None:
        assert release.wait(30)
        write(*args)

    Snapshot.write = held_back  # type: ignore[method-assign, assignment]
    try:
        yield release
    finally:
        release.set()
        Snapshot.write = write  # type: ignore[method-assign]


def fail_to_write(
    rank: int, world_size: int, port: int, *, settings: LearnerSettings, folder: Path, failing: int
) -> dict[str, Any]:
    """A checkpoint, one that the rank `failing` cannot write, and the next; what the ranks are told, and when."""
    from reprise.learner.checkpoints import Checkpointer, latest
    from reprise.learner.checkpoints.shards import Snapshot

    def refuse(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with engine(rank, world_size, port, settings) as made:
        checkpointer = Checkpointer(folder, 2, True, rank, world_size, deadline_s=30)
        checkpointer.save(made, 1, {})
        checkpointer.wait()
        write = Snapshot.write
        if rank == failing:
            Snapshot.write = refuse  # type: ignore[method-assign, assignment]
        checkpointer.save(made, 2, {})
        Snapshot.write = write  # type: ignore[method-assign]
        started, told = time.monotonic(), ""
        try:
            checkpointer.save(made, 3, {})
        except RunError as error:
            told = f"{type(error).__name__}: {error}"
        seconds, left = time.monotonic() - started, latest(folder)
        checkpointer.save(made, 4, {})
        checkpointer.close()
        return {"told": told, "seconds": seconds, "left": left, "later": latest(folder)}


def write_nothing(rank: int, world_size: int, port: int, *, settings: LearnerSettings, folder: Path) -> None:
    from reprise.learner.checkpoints import Checkpointer

    with engine(rank, world_size, port, settings):
        Checkpointer(folder, 2, True, rank, world_size).close()


def fail_unseen(
    rank: int, world_size: int, port: int, *, settings: LearnerSettings, folder: Path, other: Path
) -> dict[str, Any]:
    """A checkpoint into a folder that rank 1 has elsewhere: what the start tells; what a save tells that was begun
    although the start said so."""
    from reprise.learner.checkpoints import Checkpointer

    own = folder if rank == 0 else other
    with engine(rank, world_size, port, settings) as made:
        told = dict.fromkeys(("start", "save"), "")
        try:
            Checkpointer(own, 2, True, rank, world_size)
        except UserError as error:
            told["start"] = str(error)
        patched, Checkpointer._refuse_unseen = Checkpointer._refuse_unseen, lambda _: None  # type: ignore[method-assign, assignment]
        try:
            checkpointer = Checkpointer(own, 2, True, rank, world_size, deadline_s=1000)
            checkpointer.save(made, 1, {})
            checkpointer.wait()
        except RunError as error:
            told["save"] = str(error)
        finally:
            Checkpointer._refuse_unseen = patched  # type: ignore[method-assign]
        return told


def save_and_go_on(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    folder: Path,
    dtype: str = "float32",
    before: int = 3,
    more: int = 3,
) -> dict[str, Any]:
    """Train, save, train on before the first byte is written; the uninterrupted run."""
    from reprise.learner.checkpoints import Checkpointer, latest

    with engine(rank, world_size, port, settings, dtype) as made, writing_held_back() as release:
        checkpointer = Checkpointer(folder, 2, True, rank, world_size, deadline_s=30)
        train(made, rank, world_size, range(before))
        saved = weights(made)
        random.seed(rank), np.random.seed(rank + 5), torch.manual_seed(rank + 7)
        checkpointer.save(made, before, {"cursor": [1, 2], "order": np.arange(3)})
        drawn = draws()
        losses = train(made, rank, world_size, range(before, before + more))
        assert latest(folder) is None
        release.set()
        checkpointer.close()
        assert latest(folder) is not None
        return {"saved": saved, "weights": weights(made), "losses": losses, "draws": drawn}


def load_and_go_on(
    rank: int,
    world_size: int,
    port: int,
    *,
    settings: LearnerSettings,
    path: Path,
    dtype: str = "float32",
    again: Path | None = None,
    more: int = 3,
    width: int = 7,
) -> dict[str, Any]:
    """Resume in an engine with other weights and go on; first save what was loaded to `again`, if given."""
    from reprise.learner.checkpoints import Checkpointer, latest, load

    with engine(rank, world_size, port, settings, dtype, seed=1, width=width) as made:
        before = weights(made)
        try:
            state = load(made, path)
        except UserError as error:
            assert all((before[name] == value).all() for name, value in weights(made).items())
            return {"refused": str(error)}
        drawn = draws()
        loaded = weights(made)
        if again is not None:
            Checkpointer(again, 1, False, rank, world_size, deadline_s=30).save(made, 3, state)
        losses = train(made, rank, world_size, range(3, 3 + more))
        return {
            "state": state,
            "loaded": loaded,
            "weights": weights(made),
            "losses": losses,
            "draws": drawn,
            "again": again and latest(again),
        }


def same_in_any_layout(a: Path, b: Path) -> list[str]:
    """What differs between two checkpoints: masters, optimiser states, scalars; read in full, element by element."""
    from reprise.learner.checkpoints.folder import read_metadata
    from reprise.learner.checkpoints.layout import Fragment
    from reprise.learner.checkpoints.shards import Shards

    one, other = (Shards(path, read_metadata(path)) for path in (a, b))
    shapes = read_metadata(a)["parameters"]
    different = []
    for name, shape in shapes.items():
        if one.states(name) != other.states(name) or one.scalars(name) != other.scalars(name):
            different.append(f"{name}: {one.states(name)}, {one.scalars(name)}; {other.states(name)}")
            continue
        for key in {"fp32"} | one.states(name):
            found = []
            for shards in (one, other):
                whole = torch.full((int(np.prod(shape)),), torch.nan)
                shards.read(key, Fragment(name, 0, whole.numel(), 0), whole)
                found.append(whole)
            if not torch.equal(*found):
                different.append(f"{name} {key}")
    return different
