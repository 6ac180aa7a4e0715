"""Motif-2's decoder and causal language model as transformers' models; names of modules are those of the checkpoint.

This file and those that it imports from beside it travel with every exported policy, to be loaded by transformers where
reprise is not installed: they import torch and transformers alone, and one another relatively.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from .attention import LAMBDAS, Motif2Attention, rotary_embedding
from .configuration import Motif2Config
from .poly_norm import PolyNorm
from .rms_norm import RMSNorm

_LAMBDA_STD = 0.1


class Motif2MLP(nn.Module):
    """down(PolyNorm(gate(x))·up(x)), without bias."""

    def __init__(self, config: Motif2Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act_fn = PolyNorm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return out


class Motif2DecoderLayer(GradientCheckpointingLayer):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, config: Motif2Config, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = Motif2Attention(config, layer_idx)
        self.mlp = Motif2MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden_states: torch.Tensor, **kwargs: object) -> torch.Tensor:
        """hidden_states [B, T, H]; kwargs are the attention's."""
        attended: torch.Tensor
        attended, _ = self.self_attn(self.input_layernorm(hidden_states), **kwargs)
        hidden_states = hidden_states + attended
        out: torch.Tensor = self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states + out


class Motif2PreTrainedModel(PreTrainedModel):
    """What transformers knows of every Motif-2 model, and how weights are made."""

    config: Motif2Config
    config_class = Motif2Config
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Motif2DecoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # transformers' functions leave alone what was loaded from a checkpoint.
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, Motif2Attention):
            for name in LAMBDAS:
                init.normal_(getattr(module, name), mean=0.0, std=_LAMBDA_STD)
        elif isinstance(module, PolyNorm):
            init.constant_(module.weight, 1 / 3)
            init.zeros_(module.bias)


class Motif2Model(Motif2PreTrainedModel):
    """Embeddings, decoder layers and the last norm."""

    def __init__(self, config: Motif2Config) -> None:
        super().__init__(config)
        # No padding index: its row would get no gradient, and a checkpoint's padding token may be its end token.
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Motif2DecoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: object,
    ) -> BaseModelOutputWithPast:
        """input_ids int[B, T] or inputs_embeds [B, T, H] → last_hidden_state [B, T, H].

        Without position_ids the tokens follow those in the cache. Other keywords reach the attention function.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        hidden: torch.Tensor = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            seen = 0 if past_key_values is None else past_key_values.get_seq_length()
            position_ids = torch.arange(seen, seen + hidden.shape[1], device=hidden.device)[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        angles = rotary_embedding(self.config, position_ids, hidden.dtype)
        for layer in self.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                position_embeddings=angles,
                use_cache=use_cache,
                **kwargs,
            )
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden), past_key_values=past_key_values if use_cache else None
        )


class Motif2ForCausalLM(Motif2PreTrainedModel, GenerationMixin):
    """The decoder with its head, which has weights of its own."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  (only if the config ties them)

    def __init__(self, config: Motif2Config) -> None:
        super().__init__(config)
        self.model = Motif2Model(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: object,
    ) -> CausalLMOutputWithPast:
        """As `Motif2Model.forward` → logits [B, T, vocabulary], of the last `logits_to_keep` tokens if that is not 0,
        and the mean cross entropy of the next tokens if there are `labels` int[B, T] (-100: not counted)."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=outputs.past_key_values)
