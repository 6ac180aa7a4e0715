"""Motif-2 a second time, deliberately naive: loops over heads, two softmax attentions a pair, float64, no padding.

Written from the formulas of the papers (arXiv 2410.05258, 2510.06949, 2411.03884), over a dictionary of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.Tensor]


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps) * weight


def poly_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    def n(z: torch.Tensor) -> torch.Tensor:
        return z / torch.sqrt((z**2).mean(-1, keepdim=True) + eps)

    return weight[0] * n(x**3) + weight[1] * n(x**2) + weight[2] * n(x) + bias


def rotated(x: torch.Tensor, theta: float) -> torch.Tensor:
    """x [T, D] at positions 0..T-1: dimensions i and i + D/2 turn together by position·theta^(-2i/D)."""
    tokens, width = x.shape
    half = width // 2
    out = torch.empty_like(x)
    for position in range(tokens):
        for i in range(half):
            angle = position * theta ** (-2 * i / width)
            a, b = x[position, i], x[position, i + half]
            out[position, i] = a * math.cos(angle) - b * math.sin(angle)
            out[position, i + half] = b * math.cos(angle) + a * math.sin(angle)
    return out


def softmax_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal, q and k [T, D], v [T, any]; the scale is that of q's own width."""
    scores = q @ k.T / math.sqrt(q.shape[1])
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


def attention(x: torch.Tensor, w: Weights, layer: int, groups: int, width: int, theta: float, eps: float):
    """x [T, H] of one document → [T, H]. Group g: query heads g(R+1)..g(R+1)+R, the last noise; KV heads 2g, 2g+1."""

    def heads(name: str) -> list[torch.Tensor]:
        return list((x @ w[f"{name}_proj.weight"].T).split(width, dim=1))

    q = [rotated(head, theta) for head in heads("q")]
    k = [rotated(head, theta) for head in heads("k")]
    v = heads("v")
    initial = 0.8 - 0.6 * math.exp(-0.3 * (layer - 1))
    one, two = (torch.exp((w[f"lambda_q{i}"] * w[f"lambda_k{i}"]).sum()) for i in (1, 2))
    lam = one - two + initial
    per_group = len(q) // groups
    out = []
    for g in range(groups):
        both = torch.cat([v[2 * g], v[2 * g + 1]], dim=1)
        noise = softmax_attention(q[g * per_group + per_group - 1], k[2 * g + 1], both)
        for j in range(per_group - 1):
            signal = softmax_attention(q[g * per_group + j], k[2 * g], both)
            out.append(rms_norm(signal - lam * noise, w["subln.weight"], eps) * (1 - initial))
    return torch.cat(out, dim=1) @ w["o_proj.weight"].T


def logits(ids: list[int], w: Weights, config) -> torch.Tensor:
    """Logits float64[T, vocabulary] of one document."""
    w = {name: value.double() for name, value in w.items()}
    x = w["model.embed_tokens.weight"][ids]
    for i in range(config.num_hidden_layers):
        here = f"model.layers.{i}."
        layer = {name.removeprefix(here): value for name, value in w.items() if name.startswith(here)}
        of_attention = {n.removeprefix("self_attn."): v for n, v in layer.items() if n.startswith("self_attn.")}
        normed = rms_norm(x, layer["input_layernorm.weight"], config.rms_norm_eps)
        x = x + attention(
            normed,
            of_attention,
            i,
            config.num_noise_heads,
            config.head_dim,
            config.rope_parameters["rope_theta"],
            config.attn_rms_norm_eps,
        )
        normed = rms_norm(x, layer["post_attention_layernorm.weight"], config.rms_norm_eps)
        gate = poly_norm(normed @ layer["mlp.gate_proj.weight"].T, layer["mlp.act_fn.weight"], layer["mlp.act_fn.bias"])
        x = x + (gate * (normed @ layer["mlp.up_proj.weight"].T)) @ layer["mlp.down_proj.weight"].T
    return rms_norm(x, w["model.norm.weight"], config.rms_norm_eps) @ w["lm_head.weight"].T
