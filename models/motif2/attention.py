"""Grouped differential attention (arXiv 2510.06949) as ordinary grouped-query attention of twice the head width.

In one of the groups of heads, with V = [v1|v2]:

    signal_j = softmax(q_j·k1ᵀ·s)·V, j = 1..R      noise = softmax(q_{R+1}·k2ᵀ·s)·V       s = head_dim^-0.5
    out_j    = RMSNorm(signal_j - λ·noise)·(1 - λ_init)
    λ        = exp(λq1·λk1) - exp(λq2·λk2) + λ_init

With K = [k1|k2], a signal query [q|0] meets k1 alone and a noise query [0|q] meets k2 alone. So the group is R + 1
query heads over one key-value head of width 2·head_dim, which every kernel of transformers' attention interface
computes. In the projections a group's heads lie side by side, R signal heads before the noise head, k1 before k2, v1
before v2, so that K and V are views. That order is `split_q_heads` and `split_heads` in MotifTechnologies/vllm,
`vllm/v1/attention/backends/grouped_diff_attn.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.cache_utils import Cache
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration import Motif2Config, lambda_init
from .rms_norm import RMSNorm

LAMBDAS = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")


class Motif2Attention(nn.Module):
    """One layer's attention; modules and parameters have the published names."""

    def __init__(self, config: Motif2Config, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        # What attention functions read of a module: how many query heads share a key-value head, and causality.
        self.num_key_value_groups = config.signal_heads + 1
        self.is_causal = True
        self.scaling = config.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.lambda_init = lambda_init(layer_idx)

        hidden, width = config.hidden_size, config.head_dim
        groups, signal = config.ulysses_heads["groups"], config.signal_heads
        self.q_proj = nn.Linear(hidden, config.num_attention_heads * width, bias=False)
        self.k_proj = nn.Linear(hidden, config.num_key_value_heads * width, bias=False)
        self.v_proj = nn.Linear(hidden, config.num_key_value_heads * width, bias=False)
        self.o_proj = nn.Linear(groups * signal * 2 * width, hidden, bias=False)
        for name in LAMBDAS:
            self.register_parameter(name, nn.Parameter(torch.empty(width)))
        self.subln = RMSNorm(2 * width, config.attn_rms_norm_eps)

    def lambda_full(self) -> torch.Tensor:
        """This layer's λ (`lambda_of`), a float32 scalar."""
        return lambda_of([getattr(self, name) for name in LAMBDAS], self.lambda_init)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        past_key_values: Cache | None = None,
        **kwargs: object,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """hidden_states [B, T, H] → [B, T, H], and the attention weights if the attention function returns them.

        position_embeddings   cos and sin [B, T, head_dim] (`rotary_embedding`)
        kwargs                handed to the attention function, position_ids among them
        """
        tokens = hidden_states.shape[:-1]
        per_head = (*tokens, -1, self.head_dim)
        cos, sin = (each.unsqueeze(2) for each in position_embeddings)
        query = rotate(self.q_proj(hidden_states).view(per_head), cos, sin)
        key = rotate(self.k_proj(hidden_states).view(per_head), cos, sin)
        value = self.v_proj(hidden_states)

        padded: torch.Tensor = _PadQueries.apply(query, self.config.signal_heads)  # type: ignore[no-untyped-call]
        query = padded.transpose(1, 2)  # [B, heads, T, 2·head_dim]
        key, value = (x.reshape(*tokens, -1, 2 * self.head_dim).transpose(1, 2) for x in (key, value))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)

        attend: Callable[..., tuple[torch.Tensor, torch.Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(
            str(self.config._attn_implementation), eager_attention
        )
        dropout = self.attention_dropout if self.training else 0.0
        out, weights = attend(
            self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )  # [B, T, heads, 2·head_dim]
        return self.o_proj(self.difference(out)), weights

    def difference(self, attended: torch.Tensor) -> torch.Tensor:
        """[B, T, heads, 2·head_dim] of all heads → (signal - λ·noise), normalised, as one row [B, T, ...] a token."""
        out: torch.Tensor = self.subln(signal_less_noise(attended, self.lambda_full(), self.config.signal_heads))
        return (out * (1 - self.lambda_init)).flatten(2)


# The serving side (`vllm_model`) calls these three too: what it samples from is what is trained, rounding included.


def lambda_of(vectors: Sequence[torch.Tensor], initial: float) -> torch.Tensor:
    """λ of its four vectors [D], in the order of `LAMBDAS`, float32 whatever type they have; it is applied rounded to
    the activations' type."""
    q1, k1, q2, k2 = (each.float() for each in vectors)
    return (q1 * k1).sum().exp() - (q2 * k2).sum().exp() + initial


def pad_queries(query: torch.Tensor, signal: int) -> torch.Tensor:
    """[..., groups·(signal + 1), D] → the same heads of width 2D: [q|0] for a signal head, [0|q] for a noise head."""
    grouped = query.unflatten(-2, (-1, signal + 1))
    width = query.shape[-1]
    padded = query.new_zeros(*grouped.shape[:-1], 2 * width)
    padded[..., :signal, :width] = grouped[..., :signal, :]
    padded[..., signal:, width:] = grouped[..., signal:, :]
    return padded.flatten(-3, -2)


class _PadQueries(torch.autograd.Function):
    """`pad_queries`, which autograd would take apart into several copies."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, signal: int) -> torch.Tensor:
        ctx.signal = signal
        return pad_queries(query, signal)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        grouped = upstream.unflatten(-2, (-1, ctx.signal + 1))
        width = upstream.shape[-1] // 2
        halves = [grouped[..., : ctx.signal, :width], grouped[..., ctx.signal :, width:]]
        return torch.cat(halves, dim=-2).flatten(-3, -2), None


def signal_less_noise(attended: torch.Tensor, lam: torch.Tensor, signal: int) -> torch.Tensor:
    """[..., groups·(signal + 1), 2D] of all heads → signal - λ·noise [..., groups, signal, 2D]."""
    grouped = attended.unflatten(-2, (-1, signal + 1))
    heads: torch.Tensor
    noise: torch.Tensor
    heads, noise = grouped.split([signal, 1], dim=-2)
    return heads - lam.to(attended.dtype) * noise


def rotary_embedding(
    config: Motif2Config, position_ids: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [..., T, head_dim] of the positions int[..., T], computed in float32 and rounded to `dtype`.

    The frequencies are no buffer of a module: casting the model cannot round them, and at 64K positions that matters.
    """
    rope = config.rope_parameters or {}
    scale = 1.0
    if rope["rope_type"] == "default":
        even = torch.arange(0, config.head_dim, 2, device=position_ids.device, dtype=torch.float32)
        frequencies = rope["rope_theta"] ** (-even / config.head_dim)
    else:
        frequencies, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, device=position_ids.device)
    angles = position_ids[..., None].float() * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return (angles.cos() * scale).to(dtype), (angles.sin() * scale).to(dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding in the NeoX layout, where dimension i turns with i + D/2; x [B, T, heads, D]."""
    one, other = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-other, one], dim=-1) * sin


def eager_attention(
    module: Motif2Attention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention with all scores in memory, and the only one that returns weights; transformers' interface."""
    key, value = (x.repeat_interleave(module.num_key_value_groups, dim=1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    wide = torch.promote_types(query.dtype, torch.float32)
    weights = nn.functional.dropout(scores.softmax(-1, dtype=wide).to(query.dtype), dropout, module.training)
    return (weights @ value).transpose(1, 2), weights
