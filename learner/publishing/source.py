"""The learner's weights as vLLM's weight-transfer protocol wants to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource


class LearnerSource(WeightSource):
    """Names, shapes and, on demand, full tensors of the policy.

    Args:
        module: the policy. Under ZeRO-3 its parameters are empty shells that know their full shape (`ds_shape`), so
            bytes are counted from that and never from `numel()`.
        weights: gives (name, full tensor) pairs in `named_parameters()` order; a collective under ZeRO-3.
    """

    def __init__(self, module: torch.nn.Module, weights: Callable[[], Iterator[tuple[str, torch.Tensor]]]) -> None:
        self._module = module
        self._weights = weights

    @cached_property
    def _metadata(self) -> list[ParamMeta]:
        named = self._module.named_parameters()
        return [ParamMeta(name, p.dtype, tuple(getattr(p, "ds_shape", p.shape))) for name, p in named]

    def metadata(self) -> list[ParamMeta]:
        return self._metadata

    @cached_property
    def nbytes(self) -> int:
        """Bytes of one full copy of the weights."""
        return sum(tensor_bytes(meta) for meta in self._metadata)

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self._weights()


def tensor_bytes(meta: ParamMeta) -> int:
    """Bytes of one full tensor."""
    return torch.Size(meta.shape).numel() * meta.dtype.itemsize
