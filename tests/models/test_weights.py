"""A folder of weights that are not whole, or do not fit its configuration, is refused with the tensors' names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reprise.core.errors import UserError
from reprise.models import tiny
from reprise.models.motif2 import Motif2Config, Motif2ForCausalLM
from reprise.models.motif2.build import build, config
from reprise.models.policy import check_model_folder, read_config
from reprise.models.weights import check_weights, folded, tensor_shapes


def shapes(made: Motif2Config) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = Motif2ForCausalLM(made)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def test_a_checkpoint_that_does_not_fit_names_each_tensor(tmp_path: Path) -> None:
    folder = build(tmp_path, 0, num_hidden_layers=1)
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.0.self_attn.k_proj.weight"] = torch.zeros(32, 96)
    weights["model.layers.0.self_attn.q_norm.weight"] = weights.pop("model.layers.0.self_attn.subln.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError) as told:
        check_weights(folder, read_config(folder))
    assert "1 missing: model.layers.0.self_attn.subln.weight" in str(told.value)
    assert "1 unexpected: model.layers.0.self_attn.q_norm.weight" in str(told.value)
    assert "1 of another shape: model.layers.0.self_attn.k_proj.weight is (32, 96) and not (64, 96)" in str(told.value)


def test_every_tensor_is_named_though_layers_share_a_name(tmp_path: Path) -> None:
    made = config(num_hidden_layers=12)
    made.save_pretrained(tmp_path)
    weights = {name: torch.zeros(shape) for name, shape in shapes(made).items()}
    for layer in range(12):
        gate = weights.pop(f"model.layers.{layer}.mlp.act_fn.weight")
        if layer in (3, 7):
            weights[f"model.layers.{layer}.mlp.gate"] = gate
        weights[f"model.layers.{layer}.self_attn.subln.weight"] = torch.zeros(16 if layer < 10 else 64)
    del weights["model.layers.5.self_attn.lambda_q1"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as told:
        check_weights(tmp_path, made)
    assert str(told.value).split("configuration. ")[1] == (
        "13 missing: model.layers.{0-11}.mlp.act_fn.weight, model.layers.5.self_attn.lambda_q1. "
        "2 unexpected: model.layers.{3,7}.mlp.gate. "
        "12 of another shape: model.layers.{0-9}.self_attn.subln.weight is (16,) and not (32,), "
        "model.layers.{10-11}.self_attn.subln.weight is (64,) and not (32,)"
    )


def test_names_are_folded_number_by_number_and_lose_nothing() -> None:
    experts = [f"layers.{i}.experts.{k}.up" for i in range(40) for k in range(64) if (i, k) != (2, 9)]
    assert folded(experts) == ["layers.{0-1,3-39}.experts.{0-63}.up", "layers.2.experts.{0-8,10-63}.up"]
    assert folded(["lm_head.weight", "7", "layers.4.w"]) == ["lm_head.weight", "7", "layers.4.w"]
    assert folded([]) == []


def test_of_a_sharded_checkpoint_the_files_that_its_index_names_are_read(tmp_path: Path) -> None:
    made = config()
    Motif2ForCausalLM(made).save_pretrained(tmp_path, max_shard_size="300KB")
    save_file({"left.over": torch.zeros(1)}, tmp_path / "older.safetensors")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    check_weights(tmp_path, read_config(tmp_path))
    content = shards[1].read_bytes()
    shards[1].write_bytes(content[:-1])
    with pytest.raises(UserError, match=f"{shards[1].name} is not a readable safetensors file"):
        check_weights(tmp_path, read_config(tmp_path))
    shards[1].unlink()
    with pytest.raises(UserError, match=rf"index\.json names {shards[1].name}: it is not there"):
        check_weights(tmp_path, read_config(tmp_path))
    for damage in ("{", "[]", "{}", '{"weight_map": 3}'):
        (tmp_path / "model.safetensors.index.json").write_text(damage)
        with pytest.raises(UserError, match=r"index\.json is no index of safetensors files"):
            check_weights(tmp_path, read_config(tmp_path))


def test_a_head_that_is_tied_is_not_missed(tmp_path: Path) -> None:
    Motif2ForCausalLM(config(tie_word_embeddings=True)).save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    check_weights(tmp_path, read_config(tmp_path))


def test_a_torn_or_absent_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no"):
        check_weights(tmp_path, config())
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"model\.safetensors is not a readable"):
        check_weights(tmp_path, config())


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("qwen3"), 0, width=32, layers=2)


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as told:
        check_model_folder(folder, "policy.path")
    return str(told.value)


def test_any_model_with_a_tensor_missing_left_over_or_of_another_shape_is_refused(qwen3: Path, tmp_path: Path) -> None:
    check_model_folder(qwen3, "policy.path")
    folder = Path(shutil.copytree(qwen3, tmp_path / "policy"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    weights["model.layers.2.mlp.up_proj.weight"] = torch.zeros(1)
    weights["model.norm.weight"] = torch.zeros(7)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert refused(folder) == (
        f"policy.path: the weights in {folder} do not fit its configuration. "
        "1 missing: model.layers.1.mlp.up_proj.weight. 1 unexpected: model.layers.2.mlp.up_proj.weight. "
        "1 of another shape: model.norm.weight is (7,) and not (32,)"
    )


def test_names_that_transformers_converts_and_tied_weights_are_not_missed(qwen3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(qwen3, tmp_path / "policy"))
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()  # tied, and stored all the same
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    check_model_folder(folder, "policy.path")
    without_prefix = {
        name.removeprefix("model."): tensor for name, tensor in weights.items() if name != "lm_head.weight"
    }
    save_file(without_prefix, folder / "model.safetensors", metadata={"format": "pt"})
    check_model_folder(folder, "policy.path")


def test_weights_cut_short_anywhere_are_refused(qwen3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(qwen3, tmp_path / "policy"))
    whole = (qwen3 / "model.safetensors").read_bytes()
    for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:length])
        assert f"{folder}/model.safetensors is not a readable safetensors file" in refused(folder)
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 636\n")
    assert "is the download complete?" in refused(folder)


def test_quantised_weights_are_refused(qwen3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(qwen3, tmp_path / "policy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert "config.json has a quantization_config (fp8): quantised weights cannot be trained" in refused(folder)


def test_a_link_into_a_cache_that_was_cleared_is_named(qwen3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(qwen3, tmp_path / "policy"))
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/123")
    gone = f"lacks model.safetensors ({folder}/model.safetensors is a link to ../../blobs/123, which is not there)"
    assert gone in refused(folder)
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    assert f"{link} lacks the folder itself ({link} is a link to nowhere, which is not there)" in refused(link)


def test_files_that_are_not_read_from_count_for_nothing(qwen3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(qwen3, tmp_path / "policy"))
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    (folder / "older.safetensors").write_bytes(b"torn")
    assert tensor_shapes(folder) == tensor_shapes(qwen3)
    check_model_folder(folder, "policy.path")
