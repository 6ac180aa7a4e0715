"""Going on from a checkpoint, on the same ranks or on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from reprise.core.errors import UserError
from reprise.learner.checkpoints import client_state, random_states
from reprise.learner.checkpoints.client_state import State
from reprise.learner.checkpoints.folder import Metadata, read_metadata
from reprise.learner.checkpoints.layout import FlatGroup, flat_groups, optimizer_kind, parameter_shapes, spread_masters
from reprise.learner.checkpoints.shards import MASTER, Shards

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine


def check_architecture(path: str | Path, parameters: Mapping[str, Sequence[int]]) -> Metadata:
    """The metadata of a checkpoint, if it fits parameters of these names and shapes; else UserError, in one line."""
    metadata = read_metadata(path)
    saved, wanted = metadata["parameters"], {name: list(shape) for name, shape in parameters.items()}
    differences = (
        [f"it lacks {name}" for name in wanted if name not in saved]
        + [f"it has {name}, which the policy lacks" for name in saved if name not in wanted]
        + [
            f"{name} is {saved[name]} there and {shape} in the policy"
            for name, shape in wanted.items()
            if name in saved and saved[name] != shape
        ]
    )
    if differences:
        more = f" (and {len(differences) - 1} more differences)" if len(differences) > 1 else ""
        raise UserError(f"checkpoint {path} is of another architecture: {differences[0]}{more}")
    return metadata


def load(ds_engine: DeepSpeedEngine, path: str | Path) -> State:
    """Put a checkpoint's weights, optimiser state and random states into an engine; its client_state (collective).

    World size, ZeRO stage, sequence parallelism, offload and dtype may differ from the run that wrote it: every rank
    reads the stretches that it holds now. With the same world size and stage training continues bit by bit. Random
    states are those of the same rank; with more ranks than there were, of rank modulo the former number.
    Learning rate, weight decay and the like are the engine's own.

    Raises UserError for a checkpoint of another architecture, of another optimiser, incomplete or damaged; the engine
    is then as it was.
    """
    metadata = check_architecture(path, parameter_shapes(ds_engine))
    if metadata["optimizer"] != optimizer_kind(ds_engine):
        raise UserError(
            f"checkpoint {path} holds the state of the optimiser {metadata['optimizer']}, and this run uses "
            f"{optimizer_kind(ds_engine)}: set learner.optimizer as it was, or start from an export of the weights"
        )
    shards = Shards(Path(path), metadata)
    optimizer = ds_engine.basic_optimizer
    optimizer.state.clear()
    for group in flat_groups(ds_engine):
        _fill(group, shards, optimizer)
    spread_masters(ds_engine)
    random_states.restore(shards.indices[torch.distributed.get_rank() % metadata["world_size"]]["random"])
    return cast(State, client_state.decode(metadata["client_state"]))


def _fill(group: FlatGroup, shards: Shards, optimizer: torch.optim.Optimizer) -> None:
    flat = group.fp32.detach()
    states = set.intersection(*[shards.states(f.name) for f in group.fragments]) if group.fragments else set[str]()
    kept = {key: torch.zeros_like(flat) for key in sorted(states)}
    for fragment in group.fragments:
        for key, whole in {MASTER: flat, **kept}.items():
            shards.read(key, fragment, whole.narrow(0, fragment.offset, fragment.numel))
    if group.fragments and kept:
        scalars = {k: _scalar(v, flat, optimizer) for k, v in shards.scalars(group.fragments[0].name).items()}
        optimizer.state[group.fp32] = {**scalars, **kept}


def _scalar(value: float, flat: torch.Tensor, optimizer: torch.optim.Optimizer) -> int | torch.Tensor:
    """Torch's optimisers count steps in a tensor, where their kernel wants it; DeepSpeed's in an int."""
    if type(optimizer).__module__.startswith("deepspeed"):
        return int(value)
    on_device = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
    return torch.tensor(value, dtype=torch.float32, device=flat.device if on_device else "cpu")
