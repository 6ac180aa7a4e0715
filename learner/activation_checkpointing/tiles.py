"""MLPs that work on slices of the tokens, one after the other: DeepSpeed's `TiledMLP` (arXiv 2506.13996).

It keeps the input alone and recomputes slice by slice in the backward pass, telling DeepSpeed's gradient hooks
(`ds_grad_is_ready`) which slice is the last. Gradients are right in plain torch and under ZeRO-1, 2 and 3, but only if
there are as many slices as it was asked for. `torch.chunk` makes fewer where they do not come out even (7 of 3 tokens
for 21 tokens and 8 tiles): the last is then never announced, and ZeRO silently loses the gradient; and under ZeRO-3
ranks with rows of another length, which gather the MLP's weights once a slice, wait for one another without end. So the
last token is repeated until the slices come out even; what its repetitions give is cut off, and adds zero to gradients.

And the input is kept by an autograd node before the slices run, not by TiledMLP itself, which keeps it after them:
when a whole layer is recomputed, torch stops as soon as all that was kept is there again, and so need not run the MLP a
third time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import torch
from torch.autograd.function import FunctionCtx

from reprise.core.errors import UserError

_running: ContextVar[bool] = ContextVar("mlp_tiles_running", default=False)


def running() -> bool:
    """Whether a tile is being computed."""
    return _running.get()


def missing(tokens: int, tiles: int) -> int:
    """How many tokens, less than `tiles` if there are any, must be added for `torch.chunk` to make `tiles` slices."""
    size = math.ceil(tokens / tiles) or 1
    return 0 if math.ceil(tokens / size) == tiles else size * tiles - tokens


def check_tileable(mlp: torch.nn.Module) -> None:
    """Raises UserError unless the MLP takes hidden states and nothing else."""
    parameters = inspect.signature(mlp.forward).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if len(needed) != 1:
        raise UserError(
            f"learner.checkpointing.mlp_tiles: {type(mlp).__name__} takes {needed}, but only an MLP of hidden states "
            "alone can be tiled; use mlp_tiles 1"
        )


def in_tiles(
    tiles: int,
    mlp: torch.nn.Module,
    run: Callable[..., object],
    args: Sequence[torch.Tensor],
    kwargs: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """`run`, the forward pass of `mlp` over hidden states [..., width], on `tiles` slices of all their tokens."""
    (hidden,) = (*args, *kwargs.values())
    flat = hidden.reshape(-1, hidden.shape[-1])
    tokens = len(flat)
    if added := missing(tokens, tiles):
        more = flat[-1:].expand(added, -1) if tokens else flat.new_zeros(added, flat.shape[1])
        flat = torch.cat([flat, more])
    if not torch.is_grad_enabled():
        return torch.cat([_call(run, part) for part in flat.chunk(tiles)])[:tokens].view(hidden.shape)
    parameters = [p for p in mlp.parameters() if p.requires_grad]
    if parameters and not flat.requires_grad:  # or nobody would ask for the gradients of the parameters
        flat = flat.detach().requires_grad_()
    kept: torch.Tensor = _KeptInput.apply(flat)  # type: ignore[no-untyped-call]
    out: torch.Tensor = _Tiles.apply(kept, kept.grad_fn, run, tiles, parameters)  # type: ignore[no-untyped-call]
    return out[:tokens].view(hidden.shape)


class _KeptInput(torch.autograd.Function):
    """The identity, which keeps its input."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(hidden)
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


class _Tiles(torch.autograd.Function):
    """DeepSpeed's TiledMLP, on what `_KeptInput` keeps."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        input_node: object,
        run: Callable[..., object],
        tiles: int,
        parameters: list[torch.nn.Parameter],
    ) -> torch.Tensor:
        from deepspeed.runtime.sequence_parallel.ulysses_sp import TiledMLP

        ctx.input_node, ctx.arguments = input_node, (run, tiles, parameters)
        # Detached, for hooks on submodules (such as a memory tracker's) that look for an input's place in the graph.
        hidden = hidden.detach()
        token = _running.set(True)
        try:
            not_kept = SimpleNamespace(save_for_backward=lambda x: None)
            return TiledMLP.forward(not_kept, _call, run, hidden, tiles, parameters)  # type: ignore[no-any-return]
        finally:
            _running.reset(token)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        from deepspeed.runtime.sequence_parallel.ulysses_sp import TiledMLP

        run, tiles, parameters = ctx.arguments
        context = SimpleNamespace(
            fn=_call,
            self=run,
            shards=tiles,
            compute_params=parameters,
            saved_tensors=[x.detach().requires_grad_() for x in ctx.input_node.saved_tensors],
        )
        return TiledMLP.backward(context, *gradients)[2], None, None, None, None


def _call(run: Callable[..., object], hidden: torch.Tensor) -> torch.Tensor:
    out = run(hidden)
    if not isinstance(out, torch.Tensor):
        raise UserError(
            f"learner.checkpointing.mlp_tiles: an MLP gave a {type(out).__name__}, but only one that gives a tensor "
            "can be tiled; use mlp_tiles 1"
        )
    return out
