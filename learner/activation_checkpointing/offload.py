"""What is kept for the backward pass, in host memory until then.

On a GPU the copies are pinned and made on the stream that computes: the host does not wait for them, but the stream
spends their time (bytes over the bus's rate), which no second stream hides. On a CPU they are copies all the same,
there and back, so that what a GPU would hold can be seen (live_bytes.py).
"""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch.multiprocessing.reductions import StorageWeakRef

# Smaller ones (statistics of a norm, seeds, document boundaries) stay where they are: a copy would cost more.
SMALLEST_BYTES = 16 * 1024

_moving: ContextVar[bool] = ContextVar("moving_to_host", default=False)
_alive: weakref.WeakSet[_StorageOnHost] = weakref.WeakSet()


def bytes_on_host() -> int:
    """Bytes that wait in host memory now, of all models of this process."""
    return sum(copy.nbytes for copy in _alive)


def moving() -> bool:
    """Whether memory is being allocated on the host for a copy, which on a CPU looks like any other."""
    return _moving.get()


class _StorageOnHost:
    """A copy of the memory that one or more tensors are views of. `source` tells whether that memory still lives."""

    def __init__(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        self.source = StorageWeakRef(storage)
        self._device = tensor.device
        flat = tensor.detach().as_strided((storage.nbytes() // tensor.element_size(),), (1,), 0)
        # Pinned memory lets the copy run without the host waiting for it; fake tensors (a planner's) have none.
        pinned = tensor.is_cuda and type(flat) is torch.Tensor
        token = _moving.set(True)
        try:
            self._copy = torch.empty_like(flat, device="cpu", pin_memory=pinned)
        finally:
            _moving.reset(token)
        self._copy.copy_(flat, non_blocking=True)
        self._back: weakref.ref[torch.Tensor] | None = None
        _alive.add(self)

    @property
    def nbytes(self) -> int:
        return self._copy.nbytes

    def on_device(self) -> torch.Tensor:
        """One copy back for all who ask while it lives."""
        back = self._back() if self._back is not None else None
        if back is None:
            back = torch.empty_like(self._copy, device=self._device).copy_(self._copy, non_blocking=True)
            self._back = weakref.ref(back)
        return back


@dataclass(frozen=True, slots=True)
class _OnHost:
    """A tensor as a view of a copied storage."""

    storage: _StorageOnHost
    size: torch.Size
    stride: tuple[int, ...]
    offset: int

    def tensor(self) -> torch.Tensor:
        return self.storage.on_device().as_strided(self.size, self.stride, self.offset)


class HostCopies:
    """Moves tensors to host memory: what operators keep of the same memory, once."""

    def __init__(self) -> None:
        self._made: weakref.WeakValueDictionary[object, _StorageOnHost] = weakref.WeakValueDictionary()

    def pack(self, tensor: torch.Tensor) -> torch.Tensor | _OnHost:
        """The tensor's copy; or itself, if it is of a parameter (those are held anyway), small, or sparse."""
        origin = tensor if tensor._base is None else tensor._base
        if isinstance(origin, torch.nn.Parameter) or tensor.layout is not torch.strided:
            return _stays(tensor)
        storage = tensor.untyped_storage()
        if storage.nbytes() < SMALLEST_BYTES:
            return _stays(tensor)
        key = (storage._cdata, tensor.dtype, tensor._version)
        made = self._made.get(key)
        if made is None or made.source.expired():  # expired: other memory, whose place in the dictionary this took
            made = self._made[key] = _StorageOnHost(tensor)
        return _OnHost(made, tensor.size(), tensor.stride(), int(tensor.storage_offset()))

    def hooks(self) -> AbstractContextManager[object]:
        """A context within which all that operators keep for their backward pass is moved."""
        return torch.autograd.graph.saved_tensors_hooks(self.pack, unpack)


def _stays(tensor: torch.Tensor) -> torch.Tensor:
    """Without its place in the graph: a result that an operator keeps would hold the operator that holds it."""
    return tensor if tensor.is_leaf else tensor.detach()


def unpack(packed: torch.Tensor | _OnHost) -> torch.Tensor:
    return packed.tensor() if isinstance(packed, _OnHost) else packed


class Kept:
    """A tensor kept outside the autograd graph, in host memory if `copies` are made."""

    def __init__(self, tensor: torch.Tensor, copies: HostCopies | None) -> None:
        self._packed = tensor if copies is None else copies.pack(tensor)

    def tensor(self) -> torch.Tensor:
        return unpack(self._packed).detach()
