"""A rank's file of a checkpoint (safetensors: no pickle), and reading any stretch of any parameter from all of them."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from reprise.core.errors import UserError
from reprise.core.files import draft_of, mode_of_new_files
from reprise.learner.checkpoints.folder import Metadata, read_metadata
from reprise.learner.checkpoints.layout import FlatGroup, Fragment
from reprise.learner.checkpoints.random_states import States

MASTER = "fp32"


def file_name(rank: int) -> str:
    return f"rank-{rank:05d}.safetensors"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Host copies of what a rank contributes, and how to read them: all that its file will hold."""

    tensors: dict[str, torch.Tensor]
    index: dict[str, object]

    @classmethod
    def take(
        cls, groups: list[FlatGroup], state: Mapping[torch.Tensor, Mapping[str, float | torch.Tensor]], random: States
    ) -> Snapshot:
        """Copy masters, the optimiser's `state` and the `random` states, which training may change right after."""
        tensors, described = dict[str, torch.Tensor](), []
        for i, group in enumerate(groups):
            tensors[f"{i}/{MASTER}"] = _host_copy(group.fp32)
            scalars = {}
            for key, value in state.get(group.fp32, {}).items():
                if torch.is_tensor(value) and value.shape == group.fp32.shape:
                    tensors[f"{i}/{key}"] = _host_copy(value)
                else:
                    scalars[key] = float(value)
            described.append({"fragments": [astuple(f) for f in group.fragments], "scalars": scalars})
        return cls(tensors, {"groups": described, "random": random})

    def write(self, folder: Path, rank: int) -> None:
        """The file appears under its name when all of it is on the disk."""
        with draft_of(folder / file_name(rank)) as draft:
            save_file(self.tensors, draft, metadata={"index": json.dumps(self.index)})
            mode_of_new_files(draft)


@dataclass(frozen=True, slots=True)
class _Piece:
    rank: int
    group: int
    fragment: Fragment


class Shards:
    """The files of all ranks of a checkpoint, read piece by piece (memory-mapped)."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        self._path = path
        self._files = [self._open(path / file_name(rank)) for rank in range(metadata["world_size"])]
        self.indices = [json.loads(file.metadata()["index"]) for file in self._files]
        self._keys = [set(file.keys()) for file in self._files]
        self._pieces: dict[str, list[_Piece]] = defaultdict(list)
        for rank, index in enumerate(self.indices):
            for i, group in enumerate(index["groups"]):
                for fragment in group["fragments"]:
                    piece = _Piece(rank, i, Fragment(*fragment))
                    self._pieces[piece.fragment.name].append(piece)
        for name, shape in metadata["parameters"].items():
            held = sum(piece.fragment.numel for piece in self._pieces[name])
            if held != math.prod(shape):
                raise UserError(
                    f"checkpoint {path} is damaged: it holds {held} of {math.prod(shape)} elements of {name}"
                )

    def states(self, name: str) -> set[str]:
        """The optimiser's state tensors that are kept for a parameter."""
        prefixes = [(self._keys[p.rank], f"{p.group}/") for p in self._pieces[name]]
        found = [{k.removeprefix(at) for k in keys if k.startswith(at)} - {MASTER} for keys, at in prefixes]
        return set.intersection(*found)

    def scalars(self, name: str) -> dict[str, float]:
        """The optimiser's scalars for a parameter, such as AdamW's step count."""
        piece = self._pieces[name][0]
        return dict(self.indices[piece.rank]["groups"][piece.group]["scalars"])

    def read(self, key: str, wanted: Fragment, into: torch.Tensor) -> None:
        """Copy a stretch of a parameter's masters (`fp32`) or of an optimiser state into `into`, [wanted.numel]."""
        end = wanted.start + wanted.numel
        for piece in self._pieces[wanted.name]:
            held = piece.fragment
            first, last = max(wanted.start, held.start), min(end, held.start + held.numel)
            if first < last:
                at = held.offset + first - held.start
                part = self._files[piece.rank].get_slice(f"{piece.group}/{key}")[at : at + last - first]
                into[first - wanted.start : last - wanted.start].copy_(part)

    @staticmethod
    def _open(file: Path) -> safe_open:
        try:
            return safe_open(file, framework="pt")
        except (OSError, SafetensorError) as error:
            raise UserError(f"checkpoint {file.parent} is damaged: {file.name} cannot be read ({error})") from error


def weights(path: str | Path) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, float32 master weights in full shape) of every parameter, without DeepSpeed or a process group.

    Names are those in the DeepSpeed engine's module.
    """
    metadata = read_metadata(path)
    shards = Shards(Path(path), metadata)
    for name, shape in metadata["parameters"].items():
        whole = torch.empty(math.prod(shape))
        shards.read(MASTER, Fragment(name, 0, whole.numel(), 0), whole)
        yield name, whole.view(shape)


def _host_copy(tensor: torch.Tensor) -> torch.Tensor:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype)
    return copy.copy_(tensor.detach())
