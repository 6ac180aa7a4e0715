"""Follows every tensor that code makes under fake tensors: the most that was held, and matrix FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch._ops import OpOverload
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torch.utils.flop_counter import flop_registry


class _NoModules:
    """In place of MemTracker's own bookkeeping by module, which fails on modules called inside an autograd function."""

    is_bw = False
    parents: frozenset[str] = frozenset()

    def register_user_hooks(self, *hooks: object) -> None: ...

    def clear_user_hooks(self) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Tracker(MemTracker):
    """Bytes of activations and temporaries, without the gradients that the module's parameters hold.

    Every tensor counts from the operator that makes it until it is freed; on fake CPU tensors, whatever the real device
    would be. `attentions` counts the forward attention kernels that ran.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        vars(self)["_mod_tracker"] = _NoModules()
        self._track_module_params_and_buffers(module)  # a gradient is one once its parameter holds it
        self.attentions = 0
        self._peak = self._flops = 0

    def _update_peak_stats(self, peak_state: object) -> None:
        """Not by module, and not by copying every snapshot: `take` has the peak."""

    def now(self) -> int:
        """Bytes held."""
        held = self._curr_mem_snap.get(torch.device("cpu"), {})
        return int(held.get(_MemRefType.ACT, 0) + held.get(_MemRefType.TEMP, 0))

    def take(self) -> tuple[int, int]:
        """(most bytes held, FLOPs of matrix products) since the last call."""
        taken = self._peak, self._flops
        self._peak, self._flops = self.now(), 0
        return taken

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        out = super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        self._peak = max(self._peak, self.now())
        name = func._overloadpacket.__name__
        if name.startswith("_scaled_dot_product"):
            self.attentions += not name.endswith("_backward")
        elif func._overloadpacket in flop_registry:
            self._flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out
