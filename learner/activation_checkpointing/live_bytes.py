"""Bytes of living tensors, by which checkpointing policies are compared where there is no allocator to ask."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from reprise.learner.activation_checkpointing import offload


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operators make inside the block, once each, while they live. For CPUs.

    Parameters, inputs and what else was there before are not counted, nor the copies that `offload` makes: what is
    counted is what a GPU would hold. What a kernel needs within itself is not seen.

    live  bytes now
    peak  the most there were at the end of an operator
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        outside = {_address(t) for t in _tensors((args, kwargs))} - self._known
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            if (address := _address(tensor)) not in self._known | outside and not offload.moving():
                storage = tensor.untyped_storage()
                self._known.add(address)
                self.live += storage.nbytes()
                weakref.finalize(storage, self._freed, address, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return out

    def _freed(self, address: int, nbytes: int) -> None:
        self._known.discard(address)
        self.live -= nbytes


def _tensors(tree: object) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    tree_map_only(torch.Tensor, found.append, tree)
    return found


def _address(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
