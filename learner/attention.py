"""Attention within documents: a packed row goes through the dense layers whole, yet its documents never see each other.

For attention alone the row's documents are laid out as right-padded rows of a rectangle. Causal attention cannot look
to the right, so the padding needs no mask and the fast causal kernels apply on CPU and GPU alike. (With the stock
`sdpa` function a packed row needs a block-diagonal mask, which costs the square of the row: 4-5 times slower on CPU.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "packed_documents"

# Keyword arguments with which some models ask for another attention than the plain causal one.
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


def packed_document_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    rectangle: torch.Tensor,
    row_slots: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document of one packed row; the signature is transformers' attention interface.

    query            [1, H, T, D];  key, value [1, H_kv, T, D], with H a multiple of H_kv
    rectangle        int64[B, L]    position in the row of document b's l-th token; any valid position where padded
    row_slots        int64[T]       where the rectangle, flattened, holds each token of the row
    returns          [1, T, H, D], and no attention weights
    """
    asked = [name for name in _UNSUPPORTED if kwargs.get(name) is not None]
    if asked or attention_mask is not None or dropout:
        raise NotImplementedError(f"packed_documents is plain causal attention: no {asked or 'mask or dropout'}")
    documents, length = rectangle.shape

    def unpack(x: torch.Tensor) -> torch.Tensor:
        rows = x[0].transpose(0, 1).index_select(0, rectangle.reshape(-1))  # [B * L, heads, D]
        return rows.view(documents, length, *rows.shape[1:]).transpose(1, 2)  # [B, heads, L, D]

    grouped = query.shape[1] != key.shape[1]
    out = scaled_dot_product_attention(
        unpack(query), unpack(key), unpack(value), is_causal=True, scale=scaling, enable_gqa=grouped
    )
    flat = out.transpose(1, 2).reshape(documents * length, query.shape[1], query.shape[3])
    return flat.index_select(0, row_slots)[None], None


AttentionInterface.register(NAME, packed_document_attention)
