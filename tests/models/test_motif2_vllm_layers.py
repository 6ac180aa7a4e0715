"""What Motif-2 takes from vLLM, without an engine: rotary embedding, parsers, the reload of a fused layer in part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.model_executor.layers.linear import QKVParallelLinear
from vllm.model_executor.layers.rotary_embedding import get_rope
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import record_metadata_for_reloading
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager

from reprise.models.motif2 import Motif2Config
from reprise.models.motif2.attention import rotary_embedding
from reprise.models.motif2.tokenizer import small_tokenizer
from reprise.models.motif2.vllm_guard import refuse_half_filled
from reprise.models.motif2.vllm_model import Vector

YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 2.0, "original_max_position_embeddings": 512}
WIDTHS = {"q": 10, "k": 4, "v": 4}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Outside an engine there is no tensor-parallel group to ask.
    monkeypatch.setattr("vllm.model_executor.parameter.get_tensor_model_parallel_rank", lambda: 0)
    monkeypatch.setattr("vllm.model_executor.parameter.get_tensor_model_parallel_world_size", lambda: 1)
    with set_current_vllm_config(VllmConfig()):
        layer: Any = QKVParallelLinear(3, 2, 5, 2, bias=False, prefix="layers.7.qkv_proj", disable_tp=True)
    layer.weight.data.fill_(7)
    refuse_half_filled(layer, ("q", "k", "v"))
    whole = torch.nn.ModuleDict({"qkv_proj": layer})
    record_metadata_for_reloading(whole)
    layer.quant_method.process_weights_after_loading(layer)  # packs them, on a CPU
    return whole


def first_column(model: Any) -> list[float]:
    """Of the weight that the layer computes from, which no parameter need hold any more."""
    return model["qkv_proj"](torch.tensor([[1.0, 0.0, 0.0]]))[0][0].tolist()


def test_a_vector_that_an_update_leaves_out_keeps_its_values() -> None:
    vectors: Any = torch.nn.ModuleDict({name: Vector(3) for name in ("lambda_q1", "lambda_k1")})
    for vector in vectors.values():
        vector.weight.data.fill_(7)
    record_metadata_for_reloading(vectors)
    initialize_layerwise_reload(vectors)
    parameter = vectors["lambda_q1"].weight
    parameter.weight_loader(parameter, torch.full((3,), 5.0))
    finalize_layerwise_reload(vectors, None)
    assert [vector.weight.tolist() for vector in vectors.values()] == [[5, 5, 5], [7, 7, 7]]


def update(model: Any, shards: Sequence[str]) -> None:
    initialize_layerwise_reload(model)
    parameter = model["qkv_proj"].weight
    for shard in shards:
        parameter.weight_loader(parameter, torch.full((WIDTHS[shard], 3), float(ord(shard))), shard)
    finalize_layerwise_reload(model, None)


@pytest.mark.parametrize("shards", ["qkv", "vqk"])
def test_all_shards_in_any_order_fill_the_layer(model: torch.nn.Module, shards: str) -> None:
    update(model, shards)
    assert first_column(model) == [ord("q")] * 10 + [ord("k")] * 4 + [ord("v")] * 4


@pytest.mark.parametrize(("shards", "lacking"), [("q", "'k', 'v'"), ("qk", "'v'"), ("v", "'q', 'k'")])
def test_a_part_of_the_shards_is_refused_by_name(model: torch.nn.Module, shards: str, lacking: str) -> None:
    with pytest.raises(RuntimeError, match=rf"layers\.7\.qkv_proj: .* not \[{lacking}\]"):
        update(model, shards)


def test_an_update_without_the_layer_keeps_its_weights(model: torch.nn.Module) -> None:
    update(model, "")
    assert first_column(model) == [7] * 18


@pytest.mark.parametrize("rope", [{"rope_type": "default", "rope_theta": 1e6}, YARN], ids=["plain", "yarn"])
def test_engine_and_learner_turn_by_the_same_angles_up_to_the_longest_context(rope: dict[str, object]) -> None:
    config = Motif2Config(max_position_embeddings=1024, rope_parameters=rope)
    with set_current_vllm_config(VllmConfig()):
        embedding = get_rope(
            config.head_dim, max_position=config.max_position_embeddings, rope_parameters=config.rope_parameters
        )
    cos, sin = embedding.cos_sin_cache[:1024].double().chunk(2, dim=-1)
    ours = rotary_embedding(config, torch.arange(1024), torch.float64)
    for engine, learner in zip((cos, sin), ours):
        torch.testing.assert_close(engine, learner[:, : config.head_dim // 2], rtol=0, atol=1e-4)


def test_vllm_s_parsers_take_a_response_apart_as_our_verifiers_do() -> None:
    tokenizer: Any = small_tokenizer()
    function = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    asked: Any = ChatCompletionRequest(
        messages=[{"role": "user", "content": "?"}], model="m", tools=[{"type": "function", "function": function}]
    )
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    reasoning = ReasoningParserManager.get_reasoning_parser("deepseek_r1")(tokenizer)
    thought, content = reasoning.extract_reasoning(f"carry 1</think>so\n{call}", asked)
    assert thought == "carry 1"
    assert content is not None
    tools = ToolParserManager.get_tool_parser("hermes")(tokenizer, asked.tools)
    (made,) = tools.extract_tool_calls(content, asked).tool_calls
    assert (made.function.name, json.loads(made.function.arguments)) == ("add", {"a": 1})
