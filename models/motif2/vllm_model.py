"""Motif-2 in vLLM: the serving side of `modeling`, loaded from the same checkpoint by the same names.

Attention is vLLM's paged grouped-query attention of twice the head width (`attention`): K = [k1|k2] and V = [v1|v2] are
views of the projections, so that a token's keys and values take as many bytes as they have. Decoder, embeddings, head,
pipeline parallelism and torch.compile are those of vLLM's Llama, whose decoder layers are replaced. Between tensor-
parallel ranks whole groups of heads are shared out, and PolyNorm's sums over the MLP's width are added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_world_size, tensor_model_parallel_all_reduce
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from vllm.model_executor.layers.rotary_embedding import get_rope
from vllm.model_executor.models.llama import LlamaForCausalLM
from vllm.model_executor.models.utils import AutoWeightsLoader, WeightsMapper, extract_layer_index

from reprise.core.errors import UserError
from reprise.models.motif2.attention import LAMBDAS, lambda_of, pad_queries, signal_less_noise
from reprise.models.motif2.configuration import Motif2Config, lambda_init
from reprise.models.motif2.poly_norm import EPS as POLY_NORM_EPS
from reprise.models.motif2.poly_norm import polynomial, power_sums
from reprise.models.motif2.vllm_guard import refuse_half_filled

if TYPE_CHECKING:
    pass


def shapes_of(vllm_config: VllmConfig) -> Motif2Config:
    """The policy's configuration, which vLLM has read by transformers."""
    return cast(Motif2Config, vllm_config.model_config.hf_config)


class Vector(nn.Module):
    """A parameter that is a module of its own, because vLLM reloads whole modules: one that a weight update leaves out
    keeps its values, where as one of several parameters of a module it would be set to what memory held."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size), requires_grad=False)


# From a checkpoint's names to those of the vectors.
_VECTORS = WeightsMapper(
    orig_to_new_suffix={f".{name}": f".{name}.weight" for name in LAMBDAS}
    | {".act_fn.weight": ".act_weight.weight", ".act_fn.bias": ".act_bias.weight"}
)


class Motif2Attention(nn.Module):
    """One layer's attention over this rank's groups of heads."""

    def __init__(self, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        config = shapes_of(vllm_config)
        ranks = get_tensor_model_parallel_world_size()
        self.signal_heads = config.signal_heads
        self.head_dim = config.head_dim
        self.query_heads = config.num_attention_heads // ranks
        self.key_value_heads = config.num_key_value_heads // ranks
        groups = config.ulysses_heads["groups"]

        self.qkv_proj = QKVParallelLinear(
            config.hidden_size,
            self.head_dim,
            config.num_attention_heads,
            config.num_key_value_heads,
            bias=False,
            quant_config=vllm_config.quant_config,
            prefix=f"{prefix}.qkv_proj",
        )
        refuse_half_filled(self.qkv_proj, ("q", "k", "v"))
        self.o_proj = RowParallelLinear(
            groups * self.signal_heads * 2 * self.head_dim,
            config.hidden_size,
            bias=False,
            quant_config=vllm_config.quant_config,
            prefix=f"{prefix}.o_proj",
        )
        self.rotary_emb = get_rope(
            self.head_dim, max_position=config.max_position_embeddings, rope_parameters=config.rope_parameters
        )
        self.attn = Attention(
            self.query_heads,
            2 * self.head_dim,
            self.head_dim**-0.5,
            num_kv_heads=groups // ranks,
            cache_config=vllm_config.cache_config,
            quant_config=vllm_config.quant_config,
            prefix=f"{prefix}.attn",
        )
        self.lambda_init = lambda_init(extract_layer_index(prefix))
        for name in LAMBDAS:
            self.add_module(name, Vector(self.head_dim))
        self.subln = RMSNorm(2 * self.head_dim, eps=config.attn_rms_norm_eps)

    def forward(self, positions: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
        """positions int[T], hidden_states [T, H] → [T, H]."""
        qkv, _ = self.qkv_proj(hidden_states)
        widths = [self.query_heads, self.key_value_heads, self.key_value_heads]
        query, key, value = qkv.split([heads * self.head_dim for heads in widths], dim=-1)
        query, key = self.rotary_emb(positions, query, key)
        padded = pad_queries(query.unflatten(-1, (-1, self.head_dim)), self.signal_heads).flatten(-2)
        attended = self.attn(padded, key, value).unflatten(-1, (-1, 2 * self.head_dim))
        lam = lambda_of([getattr(self, name).weight for name in LAMBDAS], self.lambda_init)
        out = self.subln(signal_less_noise(attended, lam, self.signal_heads).flatten(-3, -2))
        projected, _ = self.o_proj((out * (1 - self.lambda_init)).flatten(-2))
        return projected  # type: ignore[no-any-return]


class Motif2MLP(nn.Module):
    """down(PolyNorm(gate(x))·up(x)) over this rank's share of the width."""

    def __init__(self, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        config = shapes_of(vllm_config)
        self.width = config.intermediate_size
        self.ranks = get_tensor_model_parallel_world_size()
        self.gate_up_proj = MergedColumnParallelLinear(
            config.hidden_size,
            [self.width, self.width],
            bias=False,
            quant_config=vllm_config.quant_config,
            prefix=f"{prefix}.gate_up_proj",
        )
        refuse_half_filled(self.gate_up_proj, (0, 1))
        self.down_proj = RowParallelLinear(
            self.width,
            config.hidden_size,
            bias=False,
            quant_config=vllm_config.quant_config,
            prefix=f"{prefix}.down_proj",
        )
        self.act_weight, self.act_bias = Vector(3), Vector(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [T, H] → [T, H]."""
        gate_up, _ = self.gate_up_proj(x)
        gate, up = gate_up.chunk(2, dim=-1)
        sums = power_sums(gate)
        if self.ranks > 1:
            sums = tensor_model_parallel_all_reduce(sums)
        scales = torch.rsqrt(sums / self.width + POLY_NORM_EPS)
        down, _ = self.down_proj(polynomial(gate, scales, self.act_weight.weight, self.act_bias.weight) * up)
        return down  # type: ignore[no-any-return]


class Motif2DecoderLayer(nn.Module):
    """A decoder layer as vLLM's Llama calls it: the residual is carried beside the hidden states."""

    def __init__(self, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config = shapes_of(vllm_config)
        self.self_attn = Motif2Attention(vllm_config, f"{prefix}.self_attn")
        self.mlp = Motif2MLP(vllm_config, f"{prefix}.mlp")
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self, positions: torch.Tensor, hidden_states: torch.Tensor, residual: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden_states and residual [T, H], whose sum is the stream; the residual is None in the first layer."""
        if residual is None:
            residual, hidden_states = hidden_states, self.input_layernorm(hidden_states)
        else:
            hidden_states, residual = self.input_layernorm(hidden_states, residual)
        hidden_states = self.self_attn(positions, hidden_states)
        hidden_states, residual = self.post_attention_layernorm(hidden_states, residual)
        return self.mlp(hidden_states), residual


class Motif2ForCausalLM(LlamaForCausalLM):
    """What vLLM runs for the architectures Motif2ForCausalLM and MotifForCausalLM.

    Raises UserError for a tensor-parallel degree that would split a group of heads.
    """

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        groups = shapes_of(vllm_config).ulysses_heads["groups"]
        ranks = get_tensor_model_parallel_world_size()
        if groups % ranks:
            fitting = [degree for degree in range(1, groups + 1) if groups % degree == 0]
            raise UserError(
                f"tensor parallelism over {ranks} ranks would split one of Motif-2's {groups} groups of heads; use "
                f"one of {fitting}"
            )
        layer: Any = Motif2DecoderLayer
        super().__init__(vllm_config=vllm_config, prefix=prefix, layer_type=layer)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Loads tensors of a checkpoint's names, and of tensor-parallel shards what is this rank's."""
        loaded: set[str] = AutoWeightsLoader(self).load_weights(weights, mapper=_VECTORS)
        return loaded
