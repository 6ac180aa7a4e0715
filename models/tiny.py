"""The demo's policy: a Qwen3 of about a third of a million parameters over a character vocabulary, made from a seed."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from reprise.models.characters import tokenizer_of
from reprise.models.saving import save_policy

PAD, BOS, EOS, UNKNOWN = "<|pad|>", "<|bos|>", "<|eos|>", "<|unknown|>"
USER, ASSISTANT = "<|user|>", "<|assistant|>"
# Text that the policy writes and a verifier reads: single tokens, but not special, so that decoding keeps them.
MARKS = ("<think>", "</think>", "<ans>", "</ans>")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('this policy knows the roles user and assistant') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, one a chat or reasoning mark; 106 in all. Every other character becomes unknown."""
    special = [PAD, BOS, EOS, UNKNOWN, USER, ASSISTANT]
    return tokenizer_of(special, MARKS, CHAT_TEMPLATE, pad=PAD, bos=BOS, eos=EOS, unknown=UNKNOWN)


def config(
    *,
    width: int = 96,
    layers: int = 3,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 32,
    ffn: int = 256,
    rope_theta: float = 500.0,
    max_tokens: int = 256,
    init_std: float = 0.06,
) -> Qwen3Config:
    """The configuration of the policy that `build` makes of the same arguments.

    `rope_theta` is small because contexts are: a large one leaves most rotary frequencies unused within `max_tokens`
    positions. `init_std` suits the small width: with the usual 0.02, which suits widths near 1000, AdamW needs several
    times the supervised steps.
    """
    tokenizer = character_tokenizer()
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=ffn,
        max_position_embeddings=max_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        tie_word_embeddings=True,
        initializer_range=init_std,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )


def build(
    out_dir: Path,
    seed: int,
    *,
    width: int = 96,
    layers: int = 3,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 32,
    ffn: int = 256,
    rope_theta: float = 500.0,
    max_tokens: int = 256,
    init_std: float = 0.06,
) -> Path:
    """Writes a randomly initialised policy and its tokenizer to `out_dir` and returns it.

    The same seed and sizes (those of `config`) give the same bytes, whatever random state the caller is in.
    """
    made = config(
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=ffn,
        rope_theta=rope_theta,
        max_tokens=max_tokens,
        init_std=init_std,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(made)
    tokenizer = character_tokenizer()
    tokenizer.model_max_length = max_tokens
    save_policy(model, tokenizer, out_dir)
    return out_dir


build.config = config  # type: ignore[attr-defined]  # read by models.policy.policy_config
