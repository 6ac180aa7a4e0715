"""The demo's policy folder, and what is said about a folder that is none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from reprise.core.errors import UserError
from reprise.models.policy import check_policy, prepare_policy, read_config
from reprise.models.settings import PolicySettings

TINY = PolicySettings(build="reprise.models.tiny:build", build_args={"layers": 1})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_policy(TINY, tmp_path_factory.mktemp("policy"), seed=0)


def weights_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_default_policy_has_the_demo_s_shape(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        prepare_policy(PolicySettings(build="reprise.models.tiny:build"), tmp_path, seed=0)
    )
    config = model.config
    assert (config.model_type, config.hidden_size, config.num_hidden_layers, config.head_dim) == ("qwen3", 96, 3, 32)
    assert (config.num_attention_heads, config.num_key_value_heads, config.vocab_size) == (4, 2, 106)
    assert config.tie_word_embeddings
    assert config.rope_parameters["rope_theta"] == 500.0
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert 300_000 < model.num_parameters() < 400_000


def test_a_seed_gives_the_same_weights_whatever_the_caller_s_random_state(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    expected_next = torch.get_rng_state()
    again = prepare_policy(TINY, tmp_path / "again", seed=0)
    assert torch.equal(torch.get_rng_state(), expected_next)
    other = prepare_policy(TINY, tmp_path / "other", seed=1)
    assert weights_digest(again) == weights_digest(folder) != weights_digest(other)


def test_the_saved_tokenizer_round_trips_and_keeps_the_reasoning_marks(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "<think>3+2+0=05,\n A b?</think><ans>565</ans>"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == len(text.replace("</", "<").replace("<think>", "t").replace("<ans>", "a"))
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == text


def test_the_generation_prompt_is_the_beginning_of_the_whole_conversation(folder: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    question = [{"role": "user", "content": "1+2="}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([*question, {"role": "assistant", "content": "3"}], tokenize=False)
    assert whole == prompt + "3" + tokenizer.eos_token
    ids = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=False)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == prompt


def test_characters_outside_the_vocabulary_become_unknown_instead_of_vanishing(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.encode("é", add_special_tokens=False) == [tokenizer.unk_token_id]


def test_a_folder_written_before_is_used_as_it_is(folder: Path, tmp_path: Path) -> None:
    settings = PolicySettings(path=str(folder))
    check_policy(settings)
    assert prepare_policy(settings, tmp_path / "unused", seed=5) == folder
    assert not (tmp_path / "unused").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"policy\.path: .*nowhere lacks the folder itself"):
        check_policy(PolicySettings(path=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("file", "said"),
    [("config.json", "config.json"), ("model.safetensors", "weights"), ("tokenizer.json", "tokenizer")],
)
def test_an_incomplete_folder_is_refused_with_what_it_lacks(folder: Path, tmp_path: Path, file: str, said: str) -> None:
    for part in folder.iterdir():
        if part.name != file:
            (tmp_path / part.name).symlink_to(part)
    with pytest.raises(UserError, match=f"lacks .*{said}"):
        prepare_policy(PolicySettings(path=str(tmp_path)), tmp_path, seed=0)


def motif2(folder: Path) -> PolicySettings:
    build = PolicySettings(build="reprise.models.motif2.build:build", build_args={"num_hidden_layers": 2})
    return PolicySettings(path=str(prepare_policy(build, folder, seed=0)))


def test_weights_that_transformers_would_make_up_are_refused(tmp_path: Path) -> None:
    settings = motif2(tmp_path)
    check_policy(settings)
    weights = load_file(tmp_path / "model.safetensors")
    for layer in (0, 1):
        del weights[f"model.layers.{layer}.self_attn.subln.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    for check in (check_policy, lambda settings: prepare_policy(settings, tmp_path / "unused", 0)):
        with pytest.raises(UserError, match=r"^policy\.path: .* 2 missing: model\.layers\.\{0-1\}\.self_attn\.subln\."):
            check(settings)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{broken", " is not the configuration of a transformers model: It looks like"),
        ("{}", "model: Unrecognized model in .* Should have a `model_type` key"),
        ("3", " is not the configuration"),
        ({"model_type": "Motif4"}, "model type `Motif4`"),
        ({"model_type": "Motif4", "auto_map": {"AutoConfig": "theirs.Config"}}, "contains custom code"),
        ({"model_type": "qwen3", "num_hidden_layers": "x"}, "expected int, got str"),
        ({"model_type": "Motif", "num_noise_heads": None}, r": num_noise_heads=None is another member"),
        ({"model_type": "Motif", "num_experts": 64}, r": num_experts=64 is another member"),
        ({"model_type": "Motif", "hidden_size": "big"}, r": hidden_size='big': sizes are whole"),
        ({"model_type": "Motif", "head_dim": 15}, r": .* head_dim=15 do not fit"),
        ({"model_type": "Motif", "rope_scaling": {"type": "yarn"}}, r": rope_parameters .* yarn with a"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, content: object, said: str) -> None:
    (tmp_path / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=f"^{tmp_path}/config.json.*{said}") as told:
        read_config(tmp_path)
    assert "\n" not in str(told.value)


def test_a_builder_s_unknown_argument_is_refused_before_it_runs() -> None:
    with pytest.raises(UserError, match=r"policy\.build_args: .*widht"):
        check_policy(PolicySettings(build="reprise.models.tiny:build", build_args={"widht": 64}))


@pytest.mark.parametrize("origin", [{}, {"path": "a", "build": "reprise.models.tiny:build"}])
def test_a_policy_has_exactly_one_origin(origin: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one of `path`"):
        PolicySettings(**origin)
