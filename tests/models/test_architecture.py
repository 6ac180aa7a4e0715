"""What a configuration alone tells: what cannot be trained exactly, and how far layers look back."""

from __future__ import annotations

from typing import Any

import pytest
import transformers as hf

from reprise.core.errors import UserError
from reprise.models.architecture import Reach, check_architecture, check_reach, reach
from reprise.models.motif2.build import config as motif2
from reprise.models.tiny import config as tiny


@pytest.mark.parametrize(
    "config",
    [
        tiny(),
        motif2(preset="12p7b"),
        hf.MixtralConfig(),
        hf.GraniteConfig(logits_scaling=8.0),
        hf.DeepseekV3Config(),
        hf.Gemma3TextConfig(),
    ],
)
def test_plain_attention_passes(config: Any) -> None:
    check_architecture(config)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (hf.Qwen3NextConfig(), "qwen3_next.*linear_attention: a recurrent or convolutional layer"),
        (hf.Qwen3_5Config(), "qwen3_5_text.*linear_attention: a recurrent or convolutional layer"),
        (hf.Lfm2Config(layer_types=["conv", "full_attention"], num_hidden_layers=2), "lfm2.*conv: a recurrent"),
        (hf.Mamba2Config(), "mamba2.*recurrent"),
        (hf.BambaConfig(), "bamba.*recurrent"),
        (hf.JambaConfig(), "jamba.*recurrent"),
        (hf.FalconH1Config(), "falcon_h1.*hybrid: a recurrent"),
        (hf.NemotronHConfig(), "nemotron_h.*recurrent"),
        (hf.Zamba2Config(), "zamba2.*recurrent"),
        (hf.MiniMaxConfig(), "minimax.*recurrent"),
        (hf.GraniteMoeHybridConfig(), "granitemoehybrid.*recurrent"),
        (hf.OlmoHybridConfig(), "olmo_hybrid.*recurrent"),
        (hf.RecurrentGemmaConfig(), "recurrent_gemma.*recurrent"),
        (hf.RwkvConfig(), "rwkv.*recurrent"),
        (hf.DeepseekV32Config(), "deepseek_v32.*indexed_attention: attention that sees some"),
        (hf.Gemma2Config(), "gemma2.*attn_logit_softcapping 50.0 caps scores"),
        (hf.GptOssConfig(), "gpt_oss.*attention sinks"),
        (hf.BloomConfig(), "bloom.*does not go through transformers' attention interface"),
        (hf.StableLmConfig(), "stablelm.*do not hand on to attention"),
        (hf.PhiConfig(), "phi: it has an lm_head with a bias"),
        (hf.BartConfig(), "bart: it is an encoder-decoder"),
    ],
)
def test_what_packed_documents_would_leak_through_is_refused_by_name(config: Any, named: str) -> None:
    with pytest.raises(UserError, match=rf"^model type {named}.*docs/models\.md"):
        check_architecture(config)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (tiny(), None),
        (motif2(preset="12p7b"), None),
        (hf.Qwen2Config(), None),
        (hf.Qwen2Config(sliding_window=1024), None),  # use_sliding_window is false
        (hf.Qwen2Config(use_sliding_window=True, sliding_window=1024, max_window_layers=0), "sliding_window"),
        (hf.Qwen2Config(use_sliding_window=True, sliding_window=1024, max_window_layers=99), None),
        (hf.MistralConfig(sliding_window=1024), "sliding_window"),
        (hf.MistralConfig(sliding_window=None), None),
        (hf.Gemma3TextConfig(sliding_window=1024), "sliding_window"),
        (hf.Llama4TextConfig(attention_chunk_size=1024), "attention_chunk_size"),
        (
            hf.LlamaConfig(
                max_position_embeddings=1024, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
            ),
            "rope_type dynamic",
        ),
        (hf.LlamaConfig(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}), None),
    ],
)
def test_windows_and_ropes_that_stretch_limit_the_documents(config: Any, limit: str | None) -> None:
    assert reach(config) == (None if limit is None else Reach(1024, limit))


def test_longer_documents_than_the_limit_are_refused_with_both_keys() -> None:
    config = hf.MistralConfig(sliding_window=1024)
    check_reach(config, "rollout.engine.max_model_len", 1024)
    with pytest.raises(UserError, match=r"^rollout\.engine\.max_model_len 1025 .*1024 tokens.*mistral.*sliding_window"):
        check_reach(config, "rollout.engine.max_model_len", 1025)
