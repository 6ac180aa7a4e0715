"""Names, shapes and counts of the published architecture; configurations, presets and checkpoints that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from reprise.core.errors import UserError
from reprise.models.motif2 import Motif2Config, Motif2ForCausalLM
from reprise.models.motif2.build import build, config
from reprise.models.motif2.configuration import PRESETS, ConfigurationError
from reprise.models.policy import check_model_folder, prepare_policy
from reprise.models.settings import PolicySettings

# The table of the 12.7B policy's parameters: what a published checkpoint's tensors are called and how large they are.
OF_THE_MODEL = {
    "model.embed_tokens.weight": (219_520, 4096),
    "model.norm.weight": (4096,),
    "lm_head.weight": (219_520, 4096),
}
OF_A_LAYER = {
    "input_layernorm.weight": (4096,),
    "self_attn.q_proj.weight": (5120, 4096),
    "self_attn.k_proj.weight": (2048, 4096),
    "self_attn.v_proj.weight": (2048, 4096),
    "self_attn.o_proj.weight": (4096, 8192),
    "self_attn.lambda_q1": (128,),
    "self_attn.lambda_k1": (128,),
    "self_attn.lambda_q2": (128,),
    "self_attn.lambda_k2": (128,),
    "self_attn.subln.weight": (256,),
    "post_attention_layernorm.weight": (4096,),
    "mlp.gate_proj.weight": (16_384, 4096),
    "mlp.up_proj.weight": (16_384, 4096),
    "mlp.down_proj.weight": (4096, 16_384),
    "mlp.act_fn.weight": (3,),
    "mlp.act_fn.bias": (1,),
}


def shapes(made: Motif2Config) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = Motif2ForCausalLM(made)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def test_the_published_architecture_parameter_by_parameter() -> None:
    of_layers = {f"model.layers.{i}.{name}": shape for i in range(40) for name, shape in OF_A_LAYER.items()}
    assert shapes(config(preset="12p7b")) == OF_THE_MODEL | of_layers
    with torch.device("meta"):
        model = Motif2ForCausalLM(config(preset="12p7b"))
    assert model.num_parameters() == 12_703_860_896
    assert sum(p.numel() for p in model.model.layers[0].parameters()) == 272_638_724
    assert len(model.state_dict()) == 643


def test_the_published_preset_says_what_a_planner_asks() -> None:
    made = config(preset="12p7b")
    assert made.ulysses_heads == {"query": 40, "key_value": 8, "head_dim": 256, "groups": 8}
    assert made.rope_parameters == {"rope_type": "default", "rope_theta": 1e6}
    assert made.model_type == "Motif"
    assert made.dtype == torch.bfloat16
    assert made.max_context == 65_536
    assert not made.tie_word_embeddings


@pytest.mark.parametrize(
    ("preset", "groups", "least", "most"),
    [("tiny", 2, 300_000, 500_000), ("tiny8", 8, 200_000, 500_000), ("small", 8, 90_000_000, 110_000_000)],
)
def test_the_small_presets_have_their_sizes(preset: str, groups: int, least: int, most: int) -> None:
    made = config(preset=preset)
    count = sum(torch.Size(shape).numel() for shape in shapes(made).values())
    assert least <= count <= most
    assert made.ulysses_heads["groups"] == groups
    assert made.ulysses_heads["query"] == 5 * groups
    assert made.num_key_value_heads == 2 * groups


def test_the_tiny_preset_is_padded_to_heads_that_vllm_takes_on_cpu() -> None:
    assert config().ulysses_heads == {"query": 10, "key_value": 2, "head_dim": 32, "groups": 2}


def test_a_configuration_is_made_without_weights_and_is_the_built_one(tmp_path: Path) -> None:
    made = config(preset="tiny8", num_hidden_layers=1)
    settings = PolicySettings(
        build="reprise.models.motif2.build:build", build_args={"preset": "tiny8", "num_hidden_layers": 1}
    )
    folder = prepare_policy(settings, tmp_path, seed=0)
    loaded = AutoConfig.from_pretrained(folder)
    of_the_folder = ("architectures", "transformers_version", "_name_or_path", "auto_map")
    ours, theirs = (
        {key: value for key, value in each.to_dict().items() if key not in of_the_folder} for each in (made, loaded)
    )
    assert ours == theirs
    assert loaded.vocab_size == len(AutoTokenizer.from_pretrained(folder)) == 114
    check_model_folder(folder, "policy.path")


def test_presets_are_not_changed_by_what_is_made_of_them() -> None:
    before = json.dumps(PRESETS)
    (config(preset="tiny").rope_parameters or {})["rope_theta"] = 3
    config(preset="tiny", max_position_embeddings=512)
    assert json.dumps(PRESETS) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"preset": "huge"}, "preset 'huge' is none of tiny, tiny8, small, 12p7b"),
        ({"widht": 3}, "widht is no key"),
        ({"num_noise_heads": 3}, "num_attention_heads=10, num_key_value_heads=4.*num_noise_heads=3"),
        ({"num_key_value_heads": 2}, "a pair of key-value heads"),
        ({"head_dim": 15}, "head_dim is even"),
        ({"num_noise_heads": 10, "num_key_value_heads": 20}, "at least one signal"),
        ({"hidden_act": "silu"}, "hidden_act='silu' is another member of the Motif family"),
        ({"k_ratio": 2}, "k_ratio=2"),
        ({"hidden_size": "96"}, "hidden_size='96': sizes are whole numbers of at least 1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0: sizes"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "yarn with a factor of at least 1"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "Motif-2 has rope_type default, or yarn"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_line(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        config(**arguments)


def test_weights_of_the_published_shapes_are_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set policy\.path to the folder of its checkpoint"):
        build(tmp_path, 0, preset="12p7b")


def test_older_and_published_keys_are_read(tmp_path: Path) -> None:
    published = {
        "architectures": ["MotifForCausalLM"],
        "auto_map": {"AutoConfig": "configuration_motif.MotifConfig"},
        "model_type": "Motif",
        "rope_theta": 500_000.0,
        "rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32_768},
        "max_position_embeddings": 65_536,
        "torch_dtype": "bfloat16",
        "num_noise_heads": 8,
    }
    (tmp_path / "config.json").write_text(json.dumps(published))
    read = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(read, Motif2Config)
    assert read.rope_parameters is not None
    assert read.rope_parameters["rope_type"] == "yarn"
    assert read.rope_parameters["rope_theta"] == 500_000.0
    assert read.dtype == torch.bfloat16
    assert read.max_context == 65_536


def test_yarn_s_base_may_stand_beside_rope_scaling(tmp_path: Path) -> None:
    written = {
        "model_type": "Motif",
        "rope_scaling": {"rope_type": "yarn", "factor": 2.0},
        "original_max_position_embeddings": 32_768,
    }
    (tmp_path / "config.json").write_text(json.dumps(written))
    read = AutoConfig.from_pretrained(tmp_path)
    assert read.rope_parameters["original_max_position_embeddings"] == 32_768
    assert read.max_context == 65_536
    read.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters == read.rope_parameters


@pytest.mark.parametrize("other", [{"num_noise_heads": None}, {"num_experts": 64}, {"q_lora_rank": 1024}])
def test_a_relative_is_not_taken_for_motif_2(tmp_path: Path, other: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "Motif", **other}))
    with pytest.raises(ConfigurationError, match="another member of the Motif family"):
        AutoConfig.from_pretrained(tmp_path)


def test_a_context_beyond_the_rotary_range_names_the_yarn_that_it_needs() -> None:
    made = config(preset="12p7b")
    made.check_context(65_536)
    with pytest.raises(ConfigurationError, match=r"131072 .* more than the 65536 .*type: yarn, factor: 2\.0.*: 65536"):
        made.check_context(131_072)
    yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 65_536}
    config(preset="12p7b", max_position_embeddings=131_072, rope_parameters=yarn).check_context(131_072)
