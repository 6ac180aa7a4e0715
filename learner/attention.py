"""Attention within documents: a packed row goes through the dense layers whole, yet its documents never see each other.

One function is registered with transformers for every model; it hands the work to a kernel that knows where the
documents lie (`RowLayout`), so that no mask of the square of the row is ever made:

sdpa               documents of like length as right-padded rectangles; causal attention cannot look to the right, so
                   the padding needs no mask and the fast causal kernels apply on CPU and GPU alike
flash_attention_2  the variable-length kernel of flash-attn (GPU)
flex_attention     torch's, with a block mask made of the documents (GPU)

With sequence parallelism the row is gathered and the heads are shared first (learner/sequence_parallel.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from reprise.core.errors import UserError
from reprise.learner.rows import RowLayout

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

NAME = "packed_documents"

# query [1, H, T, D], key and value [1, H_kv, T, D] of a whole row, its layout, the scale -> [1, T, H, D]
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, RowLayout, float | None], torch.Tensor]
# What takes the work of one layer: a module, query, key, value, row, scaling.
Attend = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, torch.Tensor, RowLayout, float | None], torch.Tensor]

# Keyword arguments with which some models ask for another attention than the plain causal one. A `sliding_window` is
# none of them: `learner.policy.Policy` lets no document in that is longer.
_UNSUPPORTED = {"softcap": "soft caps", "s_aux": "sinks", "position_bias": "position biases"}


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    row: RowLayout | None = None,
    over: Attend | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document of one packed row; the signature is transformers' attention interface.

    query   [1, H, t, D];  key, value [1, H_kv, t, D], with H a multiple of H_kv; t tokens of this rank
    row     the whole row
    over    what takes the work: `Whole(kernel)`, or a `learner.sequence_parallel.Ulysses` around a kernel
    returns [1, t, H, D], and no attention weights
    """
    asked = [what for name, what in _UNSUPPORTED.items() if kwargs.get(name) is not None]
    if attention_mask is not None:
        asked.append("masks")
    if dropout:
        asked.append("dropout")
    if row is None or over is None:
        raise NotImplementedError("the model's layers do not hand on to attention where the documents of a row lie")
    if asked:
        raise NotImplementedError(f"the learner's attention is plain and causal, without {' and '.join(asked)}")
    return over(module, query, key, value, row, scaling), None


class Whole:
    """Attention on a rank that holds whole rows."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        row: RowLayout,
        scaling: float | None,
    ) -> torch.Tensor:
        return self._kernel(query, key, value, row, scaling)


# ---- kernels ---------------------------------------------------------------------------------------------------------


def sdpa(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: RowLayout, scaling: float | None
) -> torch.Tensor:
    grouped = query.shape[1] != key.shape[1]
    parts = []
    for rectangle in row.rectangles:
        documents, length = rectangle.shape
        positions = rectangle.reshape(-1)

        def unpack(
            x: torch.Tensor, positions: torch.Tensor = positions, documents: int = documents, length: int = length
        ) -> torch.Tensor:
            rows = x[0].transpose(0, 1).index_select(0, positions)  # [b * L, heads, D]
            return rows.view(documents, length, *rows.shape[1:]).transpose(1, 2)  # [b, heads, L, D]

        out = scaled_dot_product_attention(
            unpack(query), unpack(key), unpack(value), is_causal=True, scale=scaling, enable_gqa=grouped
        )
        parts.append(out.transpose(1, 2).reshape(documents * length, query.shape[1], value.shape[3]))
    return torch.cat(parts).index_select(0, row.slots)[None]


def flash_attention_2(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: RowLayout, scaling: float | None
) -> torch.Tensor:
    from flash_attn import flash_attn_varlen_func  # on GPU machines only

    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # [T, heads, D]
    ends = row.boundaries
    out: torch.Tensor = flash_attn_varlen_func(
        q, k, v, ends, ends, row.longest, row.longest, softmax_scale=scaling, causal=True
    )
    return out[None]


def flex_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: RowLayout, scaling: float | None
) -> torch.Tensor:
    out = _flex(query.device.type)(
        query, key, value, block_mask=_block_mask(row), scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return out.transpose(1, 2)


@cache
def _flex(device: str) -> Callable[..., torch.Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    # Uncompiled it makes all scores; there is no such kernel to compile to on CPU.
    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention  # type: ignore[return-value]


def _block_mask(row: RowLayout) -> BlockMask:
    """Made once a row and kept with it."""
    if not hasattr(row, "_block_mask"):
        from torch.nn.attention.flex_attention import create_block_mask

        document = row.document_of

        def same_document_and_not_later(b: object, h: object, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return (document[q] == document[k]) & (q >= k)

        total = sum(row.lengths)
        row._block_mask = create_block_mask(  # type: ignore[attr-defined]
            same_document_and_not_later, B=None, H=None, Q_LEN=total, KV_LEN=total, device=str(row.device)
        )
    mask: BlockMask = row._block_mask  # type: ignore[attr-defined]
    return mask


KERNELS: dict[str, Kernel] = {
    "sdpa": sdpa,
    "flash_attention_2": flash_attention_2,
    "flex_attention": flex_attention,
}


def kernel(name: str) -> Kernel:
    """The kernel of this name. UserError if its package is not here."""
    if name == "flash_attention_2" and "flash_attn" not in sys.modules and find_spec("flash_attn") is None:
        raise UserError(
            "learner.attention flash_attention_2 needs the package flash-attn, which is not installed here: see "
            "requirements/gpu.lock, or use sdpa"
        )
    return KERNELS[name]


AttentionInterface.register(NAME, packed_attention)
