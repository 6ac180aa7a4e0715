"""Recomputation that keeps what chosen operators gave: two contexts for `torch.utils.checkpoint`'s `context_fn`.

As torch's `create_selective_checkpoint_contexts`, with three differences that the learner needs: what is kept can go
to host memory (torch ignores its own CPU_OFFLOAD policies outside `torch.compile`); what is written to in place
afterwards is recomputed instead of being an error (DeepSpeed's linear layer under ZeRO-3 adds its bias so); and the
last matrix product of a layer, which the residual sum needs and no gradient does, is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Protocol, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from reprise.learner.activation_checkpointing import tiles
from reprise.learner.activation_checkpointing.offload import HostCopies, Kept


class Operator(Protocol):
    """One of torch's, as a dispatch mode sees it."""

    def name(self) -> str: ...

    def __hash__(self) -> int: ...

    def __call__(self, *args: object, **kwargs: object) -> object: ...


Keeps = Callable[[Operator], bool]

_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "_grouped_mm", "_scaled_mm", "_scaled_grouped_mm"}
# aten::_scaled_dot_product_flash_attention (and _efficient_, _cudnn_, _for_cpu), flash-attn's
# flash_attn::_flash_attn_varlen_forward, the higher-order operator flex_attention. A compiled flex_attention is seen as
# inductor_compiled_code, and only if compiled with the inductor option wrap_inductor_compiled_regions; else it is
# computed again.
_ATTENTION = re.compile(r"attention|attn|^inductor_compiled_code$")
_BACKWARD = re.compile(r"backward|bwd")


@cache
def is_product(operator: Operator) -> bool:
    """Whether an operator is a matrix product."""
    namespace, _, name = operator.name().partition("::")
    return namespace == "aten" and name.partition(".")[0] in _PRODUCTS


@cache
def is_attention(operator: Operator) -> bool:
    """Whether an operator is an attention kernel, forward."""
    name = operator.name()
    return bool(_ATTENTION.search(name)) and not _BACKWARD.search(name)


# By policy: the operators that are not run again.
KEPT_OPERATORS: Mapping[str, Keeps] = {
    "attention": is_attention,
    "norms": lambda operator: is_attention(operator) or is_product(operator),
}


@dataclass(slots=True)
class _Entry:
    """One run of an operator that is kept: its output, or nothing if it is to be run again."""

    operator: Operator
    output: object
    storages: set[int]

    def forget(self) -> None:
        self.output, self.storages = None, set()


class _Keep(TorchDispatchMode):
    """Runs the layer and notes what the chosen operators give."""

    supports_higher_order_operators = True

    def __init__(self, keeps: Keeps, copies: HostCopies | None, tape: list[_Entry]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._keeps, self._copies, self._tape = keeps, copies, tape

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True

    def __torch_dispatch__(
        self, func: Operator, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        if self._keeps(func):
            entry = _Entry(func, None, set())
            if not tiles.running():  # what a tile computes is computed again, tile by tile
                entry.output = tree_map_only(torch.Tensor, lambda t: Kept(t.detach(), self._copies), out)
                tree_map_only(torch.Tensor, lambda t: entry.storages.add(_storage(t)), out)
            self._tape.append(entry)
        elif written := _written(func, args, kwargs or {}):
            for entry in self._tape:
                if entry.storages & written:
                    entry.forget()
        return out

    def __exit__(self, *error: object) -> None:
        if self._tape and is_product(self._tape[-1].operator):
            self._tape[-1].forget()
        super().__exit__(*error)  # type: ignore[no-untyped-call]


class _Replay(TorchDispatchMode):
    """Runs the layer again, with what was noted in place of running the chosen operators."""

    supports_higher_order_operators = True

    def __init__(self, keeps: Keeps, tape: list[_Entry]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._keeps, self._tape, self._next = keeps, tape, 0

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True

    def __enter__(self) -> Self:
        self._next = 0
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(
        self, func: Operator, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        if not self._keeps(func):
            return func(*args, **(kwargs or {}))
        if self._next >= len(self._tape) or self._tape[self._next].operator is not func:
            raise RuntimeError(f"{func} runs in the recomputation of a layer at a place where it did not run before")
        entry = self._tape[self._next]
        self._next += 1
        if entry.output is None:
            return func(*args, **(kwargs or {}))
        output = tree_map_only(Kept, lambda kept: kept.tensor(), entry.output)
        entry.forget()
        return output


def keep_and_replay(
    keeps: Keeps, copies: HostCopies | None
) -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
    """The contexts of a layer's run and of its recomputation."""
    tape: list[_Entry] = []
    return _Keep(keeps, copies, tape), _Replay(keeps, tape)


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _written(func: Operator, args: Sequence[object], kwargs: Mapping[str, object]) -> set[int]:
    """The storages that an operator writes to in place."""
    places = _written_places(func)
    values = [args[i] if i < len(args) else kwargs.get(name) for i, name in places]
    written: set[int] = set()
    tree_map_only(torch.Tensor, lambda t: written.add(_storage(t)), values)
    return written


@cache
def _written_places(func: Operator) -> list[tuple[int, str]]:
    schema = getattr(func, "_schema", None)  # higher-order operators have none, and write to nothing of ours
    if schema is None:
        return []
    return [(i, a.name) for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
