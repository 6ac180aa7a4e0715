"""The learner's weights as a sender reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch

from reprise.core.transport import Parameter


class LearnerWeights:
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
    def parameters(self) -> list[Parameter]:
        """What iterating gives, in its order."""
        named = self._module.named_parameters()
        return [Parameter(name, p.dtype, tuple(getattr(p, "ds_shape", p.shape))) for name, p in named]

    @property
    def nbytes(self) -> int:
        """Bytes of one full copy of the weights."""
        return sum(parameter.nbytes for parameter in self.parameters)

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self._weights()
