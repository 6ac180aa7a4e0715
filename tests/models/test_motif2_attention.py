"""Grouped differential attention, padded to ordinary attention, is what the formulas say, head by head."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import motif2_naive as naive  # beside this file
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reprise.models.motif2 import Motif2Config
from reprise.models.motif2.attention import Motif2Attention, pad_queries, rotary_embedding
from reprise.models.motif2.configuration import lambda_init


def configuration(groups: int, signal: int, width: int, hidden: int = 24, **changes: Any) -> Motif2Config:
    return Motif2Config(
        hidden_size=hidden,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=groups * (signal + 1),
        num_key_value_heads=2 * groups,
        num_noise_heads=groups,
        head_dim=width,
        vocab_size=50,
        **changes,
    )


def layer_of(config: Motif2Config, layer: int, seed: int) -> Motif2Attention:
    torch.manual_seed(seed)
    attention = Motif2Attention(config, layer).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return attention


def run(attention: Motif2Attention, x: torch.Tensor, kind: str) -> torch.Tensor:
    attention.config._attn_implementation = kind
    tokens = x.shape[1]
    angles = rotary_embedding(attention.config, torch.arange(tokens)[None], x.dtype)
    mask = None
    if kind == "eager":
        mask = torch.full((tokens, tokens), -math.inf, dtype=x.dtype).triu(1)
    return attention(x, angles, mask)[0]


@settings(max_examples=25, deadline=None)
@given(
    groups=st.integers(1, 5),
    signal=st.integers(1, 5),
    width=st.sampled_from([2, 6, 8, 16]),
    tokens=st.integers(1, 9),
    layer=st.integers(0, 39),
    kind=st.sampled_from(["sdpa", "eager"]),
    seed=st.integers(0, 2**31),
)
def test_a_layer_is_two_softmax_attentions_and_their_difference(
    groups: int, signal: int, width: int, tokens: int, layer: int, kind: str, seed: int
) -> None:
    config = configuration(groups, signal, width)
    attention = layer_of(config, layer, seed)
    x = torch.randn(2, tokens, config.hidden_size, dtype=torch.float64)
    expected = torch.stack(
        [naive.attention(row, attention.state_dict(), layer, groups, width, 1e6, config.attn_rms_norm_eps) for row in x]
    )
    # λ and the angles are float32 by design, whatever the activations are.
    torch.testing.assert_close(run(attention, x, kind), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_gradients_agree_with_the_naive_layer(kind: str) -> None:
    config = configuration(groups=2, signal=4, width=8)
    attention = layer_of(config, 3, seed=1)
    x = torch.randn(1, 7, config.hidden_size, dtype=torch.float64)
    upstream = torch.randn_like(x)
    names, parameters = zip(*attention.named_parameters())
    ours = torch.autograd.grad(run(attention, x, kind), parameters, upstream)
    out = naive.attention(x[0], dict(zip(names, parameters)), 3, 2, 8, 1e6, config.attn_rms_norm_eps)
    theirs = torch.autograd.grad(out, parameters, upstream[0])
    for name, one, other in zip(names, ours, theirs):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, msg=partial("{}: {}".format, name))


def test_a_query_lies_in_the_half_of_its_kind_of_head() -> None:
    query = torch.arange(1.0, 1 + 2 * 3 * 2).reshape(1, 1, 6, 2)  # 2 groups of 2 signal heads and a noise head
    padded = pad_queries(query, signal=2)[0, 0]
    assert padded.tolist() == [
        [1, 2, 0, 0],
        [3, 4, 0, 0],
        [0, 0, 5, 6],
        [7, 8, 0, 0],
        [9, 10, 0, 0],
        [0, 0, 11, 12],
    ]


def test_lambda_starts_as_published() -> None:
    assert lambda_init(0) == pytest.approx(0.8 - 0.6 * math.exp(0.3))
    assert lambda_init(1) == pytest.approx(0.2)
    assert lambda_init(39) == pytest.approx(0.8, abs=1e-5)


def test_lambda_is_float32_from_bfloat16_vectors() -> None:
    attention = layer_of(configuration(2, 4, 16), 1, seed=0)
    exact = [getattr(attention, name).double() for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")]
    q1, k1, q2, k2 = (each.to(torch.bfloat16).double() for each in exact)
    expected = (q1 * k1).sum().exp() - (q2 * k2).sum().exp() + lambda_init(1)
    got = attention.to(torch.bfloat16).lambda_full()
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)


def test_yarn_slows_the_slow_frequencies_and_keeps_the_fast_ones() -> None:
    plain = Motif2Config()
    yarn = Motif2Config(
        max_position_embeddings=131_072,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 1e6,
            "factor": 2.0,
            "original_max_position_embeddings": 65_536,
        },
    )
    one, other = (rotary_embedding(c, torch.tensor([[1]]), torch.float64) for c in (plain, yarn))
    scale = 0.1 * math.log(2) + 1  # arXiv 2309.00071
    angles = [torch.atan2(sin, cos)[0, 0] for cos, sin in (one, other)]
    ratio = angles[1] / angles[0]
    assert torch.hypot(*other)[0, 0].tolist() == pytest.approx([scale] * 128, rel=1e-6)
    assert ratio[0].item() == pytest.approx(1, rel=1e-6)
    assert ratio[63].item() == pytest.approx(0.5, rel=1e-5)
    assert ratio[:64].diff().max() <= 1e-6


def test_angles_at_64k_positions_are_not_rounded_to_bfloat16() -> None:
    config = Motif2Config()
    cos, _ = rotary_embedding(config, torch.tensor([[65_535]]), torch.bfloat16)
    exact = [math.cos(65_535 * 1e6 ** (-2 * i / 128)) for i in range(64)]
    assert cos[0, 0, :64].tolist() == pytest.approx(exact, abs=0.01)
