"""The whole model against a second, naive one; saving, attention kernels, cache, precision, checkpointing, planning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import motif2_naive as naive  # beside this file
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoConfig, AutoModelForCausalLM

from reprise.models.motif2 import Motif2Config, Motif2ForCausalLM, Motif2Model
from reprise.models.motif2.build import build, config

IDS = torch.tensor([[7, 3, 99, 41, 41, 0, 12, 58, 33, 2, 105]])


def model_of(preset: str = "tiny", **changes: Any) -> Motif2ForCausalLM:
    torch.manual_seed(0)
    model = Motif2ForCausalLM(config(preset=preset, **changes))
    for parameter in model.parameters():  # norms, PolyNorm and λ away from their beginnings
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.set_attn_implementation("sdpa")
    return model.eval()


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("preset", ["tiny", "tiny8"])
def test_logits_are_those_of_the_naive_model(preset: str, kind: str) -> None:
    model = model_of(preset)
    model.set_attn_implementation(kind)
    expected = naive.logits(IDS[0].tolist(), model.state_dict(), model.config)
    torch.testing.assert_close(model(IDS).logits[0].double(), expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_naive_model() -> None:
    model = model_of("tiny", num_hidden_layers=2)
    names, parameters = zip(*model.named_parameters())
    upstream = torch.randn(1, IDS.shape[1], model.config.vocab_size)
    ours = torch.autograd.grad(model(IDS).logits, parameters, upstream)
    doubles = [parameter.detach().double().requires_grad_() for parameter in parameters]
    out = naive.logits(IDS[0].tolist(), dict(zip(names, doubles)), model.config)
    for name, one, other in zip(names, ours, torch.autograd.grad(out, doubles, upstream[0].double())):
        scale = other.abs().max().item()
        torch.testing.assert_close(
            one.double(), other, rtol=1e-3, atol=1e-4 * scale, msg=partial("{}: {}".format, name)
        )


def test_saved_and_loaded_by_transformers_auto_classes_the_logits_are_the_same(tmp_path: Path) -> None:
    model = model_of()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), Motif2Config)
    both: Any = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="sdpa", output_loading_info=True)
    loaded, report = both
    assert isinstance(loaded, Motif2ForCausalLM)
    assert not any(report.values()), report
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)


def test_padded_rows_and_positions_give_each_document_its_own_logits() -> None:
    model = model_of()
    row = torch.cat([torch.zeros(1, 4, dtype=torch.long), IDS], dim=1)
    mask = (torch.arange(row.shape[1]) >= 4).long()[None]
    positions = (torch.arange(row.shape[1]) - 4).clamp(min=0)[None]
    padded = model(row, attention_mask=mask, position_ids=positions).logits[:, 4:]
    torch.testing.assert_close(padded, model(IDS).logits, rtol=1e-4, atol=1e-4)


def test_decoding_with_a_cache_gives_the_logits_of_the_whole_sequence() -> None:
    model: Any = model_of()
    whole = model(IDS).logits
    cache, steps = None, []
    for piece in IDS.split([5, 1, 1, 4], dim=1):
        out = model(piece, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-4, atol=1e-4)
    greedy = model.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=1, do_sample=False)
    assert greedy[0, -1] == whole[0, -1].argmax()


def test_any_registered_attention_function_is_called_with_padded_heads_and_the_caller_s_keywords() -> None:
    from transformers import AttentionInterface

    calls = []

    def attend(module, query, key, value, attention_mask, scaling, dropout, **kwargs):
        calls.append((query.shape, key.shape, value.shape, scaling, attention_mask, kwargs))
        return query.transpose(1, 2), None

    AttentionInterface.register("recording", attend)
    model = model_of()
    model.set_attn_implementation("recording")
    model.model(IDS, use_cache=False, row="a row's layout")
    heads = model.config.ulysses_heads
    query, key, value, scaling, mask, kwargs = calls[0]
    assert len(calls) == model.config.num_hidden_layers
    assert query == (1, heads["query"], IDS.shape[1], heads["head_dim"]) == (1, 10, 11, 32)
    assert key == value == (1, heads["key_value"], IDS.shape[1], heads["head_dim"]) == (1, 2, 11, 32)
    assert scaling == 16**-0.5
    assert mask is None
    assert kwargs["row"] == "a row's layout"
    assert kwargs["position_ids"].tolist() == [list(range(11))]


def test_gradient_checkpointing_changes_no_gradient() -> None:
    model = model_of().train()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients))


@pytest.mark.parametrize("dtype", [pytest.param(torch.float32, marks=pytest.mark.full), torch.bfloat16])
def test_a_thousand_random_steps_keep_every_gradient_finite_and_lambda_moving(dtype: torch.dtype) -> None:
    """In bfloat16 as DeepSpeed's engine trains: the optimiser steps float32 masters, the model holds them rounded."""
    torch.manual_seed(0)
    model = Motif2ForCausalLM(config()).train()
    torch.nn.Module.to(model, dtype)
    model.set_attn_implementation("sdpa")
    names, parameters = zip(*model.named_parameters())
    masters = [parameter.detach().float().clone() for parameter in parameters]
    for master in masters:
        master.grad = torch.empty_like(master)
    optimiser = torch.optim.AdamW(masters, lr=3e-3, fused=True)
    before = [layer.self_attn.lambda_full().item() for layer in model.model.layers]
    for step in range(1000):
        ids = torch.randint(model.config.vocab_size, (2, 8))
        model(ids, labels=ids, use_cache=False).loss.backward()
        gradients = [parameter.grad for parameter in parameters]
        finite = torch.stack(torch._foreach_norm(gradients)).isfinite()
        assert finite.all(), f"step {step}: {[name for name, fine in zip(names, finite) if not fine]}"
        torch._foreach_copy_([master.grad for master in masters], gradients)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_copy_(parameters, masters)
        torch._foreach_zero_(gradients)
    after = [layer.self_attn.lambda_full().item() for layer in model.model.layers]
    assert all(abs(a - b) > 1e-3 for a, b in zip(before, after))


def test_bfloat16_logits_are_close_to_the_exact_ones() -> None:
    model = model_of()
    rounded = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    exact = naive.logits(IDS[0].tolist(), rounded, model.config)
    torch.nn.Module.to(model, torch.bfloat16)
    got = model(IDS).logits[0].double()
    assert (got - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_a_layer_of_the_published_shapes_runs_forward_and_backward_on_fake_tensors() -> None:
    """What the memory planner does: no weight and no activation of these 8,192 tokens is ever made."""
    shapes = config(preset="12p7b", num_hidden_layers=1)
    shapes._attn_implementation = "sdpa"
    with FakeTensorMode(), default_dtype(torch.bfloat16):
        model = Motif2Model(shapes)
        hidden = model(torch.zeros(1, 8192, dtype=torch.long), use_cache=False).last_hidden_state
        hidden.sum().backward()
    assert hidden.shape == (1, 8192, 4096)
    assert hidden.dtype == torch.bfloat16
    assert {parameter.grad is not None and parameter.grad.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_what_a_layer_keeps_for_the_backward_pass_is_in_bfloat16() -> None:
    shapes = config(preset="12p7b", num_hidden_layers=1)
    shapes._attn_implementation = "sdpa"
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with FakeTensorMode(), default_dtype(torch.bfloat16):
        model = Motif2Model(shapes)
        ids = torch.zeros(1, 8192, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(ids, use_cache=False)
    wide = sum(t.untyped_storage().nbytes() for t in kept.values() if t.dtype == torch.float32)
    assert wide < 8 * 2**20  # softmax's and norms' numbers a row; a float32 copy of the hidden states alone is 128 MiB


def test_a_builder_s_folder_is_the_same_for_a_seed(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected_next = torch.get_rng_state()
    folders = [build(tmp_path / str(i), seed, num_hidden_layers=1) for i, seed in enumerate((0, 0, 1))]
    assert torch.equal(torch.get_rng_state(), expected_next)
    one, again, other = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert one == again != other
