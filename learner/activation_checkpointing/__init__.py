"""Activation checkpointing, module by module: what a layer keeps for its backward pass and what it computes again.

Kept for each token of a layer, in widths of the model (heads as wide as the model, MLP F wide):

block      the layer's input: 1
attention  and what the attention kernel gave: 2
norms      and the matrix products that anything behind them needs: about 6 + 2 F
mlp        everything but what is inside the MLP
none       everything

With `offload` all of this waits in host memory (offload.py). With `mlp_tiles` the MLPs keep their input alone and work
on a slice of the tokens at a time (tiles.py): their products are then not kept under `norms`, and `mlp` adds nothing.

The forward methods of a transformers model's layers and MLPs are wrapped (parts.py finds them); no model code is
replaced. Recomputation is `torch.utils.checkpoint`, with what is kept decided operator by operator (selective.py). It
runs the same kernels on the same numbers, so gradients are the same bit by bit; tiles round differently, as they add up
the weights' gradients slice by slice.

Collectives inside a layer, Ulysses' all-to-alls and the gathering of ZeRO-3's parameters, are sent again when the layer
is computed again. That is safe: all ranks run the same layers backward in the same order. Keeping what the all-to-alls
gave instead (gathered queries, keys and values) would cost three widths a token, more than all that `block` and
`attention` keep.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import MethodType

import torch
from torch.utils.checkpoint import checkpoint, noop_context_fn
from transformers import PreTrainedModel

from reprise.learner.activation_checkpointing.offload import HostCopies
from reprise.learner.activation_checkpointing.parts import decoder_layers, mlp_of
from reprise.learner.activation_checkpointing.selective import KEPT_OPERATORS, keep_and_replay
from reprise.learner.activation_checkpointing.tiles import check_tileable, in_tiles
from reprise.learner.settings import CheckpointingSettings

# Given a module, its forward pass, and positional and keyword arguments: runs it.
_Around = Callable[[torch.nn.Module, Callable[..., object], tuple[object, ...], dict[str, object]], object]


def apply(model: PreTrainedModel, settings: CheckpointingSettings) -> None:
    """Have the layers of a causal LM keep and recompute what `settings` says. Once, before DeepSpeed wraps the model.

    It acts wherever gradients are recorded, in training and evaluation mode alike; under `torch.no_grad` only
    `mlp_tiles` does. Raises UserError if the model's layers or MLPs cannot be found or cannot be tiled.
    """
    if settings == CheckpointingSettings():
        return
    copies = HostCopies() if settings.offload else None
    for layer in decoder_layers(model):
        if settings.mlp_tiles > 1:
            mlp = mlp_of(layer)
            check_tileable(mlp)
            _wrap(mlp, functools.partial(in_tiles, settings.mlp_tiles), without_gradients=True)
        elif settings.policy == "mlp":
            _wrap(mlp_of(layer), functools.partial(_recomputed, noop_context_fn))
        if settings.policy in KEPT_OPERATORS:
            contexts = functools.partial(keep_and_replay, KEPT_OPERATORS[settings.policy], copies)
            _wrap(layer, functools.partial(_recomputed, contexts))
        elif settings.policy == "block":
            _wrap(layer, functools.partial(_recomputed, noop_context_fn))
        if copies is not None:
            _wrap(layer, functools.partial(_within, copies.hooks))


def _wrap(module: torch.nn.Module, around: _Around, without_gradients: bool = False) -> None:
    """Put `around` around the module's forward method, bound so that a copy of the module wraps itself."""
    inner: Callable[..., object] | None = getattr(module.forward, "__func__", None)
    if inner is None:  # a plain function that someone set on this module
        plain = module.forward
        inner = functools.wraps(plain)(lambda self, *args, **kwargs: plain(*args, **kwargs))

    @functools.wraps(inner)
    def forward(self: torch.nn.Module, *args: object, **kwargs: object) -> object:
        run = functools.partial(inner, self)
        if not (torch.is_grad_enabled() or without_gradients):
            return run(*args, **kwargs)
        return around(self, run, args, kwargs)

    module.forward = MethodType(forward, module)


def _recomputed(
    contexts: Callable[[], tuple[AbstractContextManager[object], AbstractContextManager[object]]],
    module: torch.nn.Module,
    run: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> object:
    """Run now and once more in the backward pass. Arguments with gradients are kept as saved tensors, for `offload`."""
    named = [name for name, value in kwargs.items() if isinstance(value, torch.Tensor) and value.requires_grad]
    rest = {name: value for name, value in kwargs.items() if name not in named}
    count = len(args)  # and not `args` itself, which the function below would hold on the device until it runs again

    def positional(*values: object) -> object:
        return run(*values[:count], **rest, **dict(zip(named, values[count:])))

    values = (*args, *(kwargs[name] for name in named))
    return checkpoint(positional, *values, use_reentrant=False, context_fn=contexts)


def _within(
    context: Callable[[], AbstractContextManager[object]],
    module: torch.nn.Module,
    run: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> object:
    with context():
        return run(*args, **kwargs)
