"""Checkpointing policies change what is kept, not what is computed."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import batches
import numpy as np
import pytest
import rank_jobs
import torch
from hypothesis import given
from hypothesis import strategies as st
from pairs import every_pair
from rank_pool import RankPool
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from reprise.learner import activation_checkpointing as checkpointing
from reprise.learner import attention
from reprise.learner.activation_checkpointing import offload, selective
from reprise.learner.activation_checkpointing.live_bytes import LiveBytes
from reprise.learner.activation_checkpointing.tiles import in_tiles
from reprise.learner.packing import document
from reprise.learner.policy import Policy
from reprise.learner.rows import RowLayout, pack
from reprise.learner.settings import CheckpointingSettings

# An MLP 3.5 times as wide as the model, as usual.
SHAPE = {
    "vocab_size": 50, "hidden_size": 64, "intermediate_size": 224, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.2,
}  # fmt: skip
WIDTH = 64 * 4  # bytes of a token's hidden state
LENGTHS = [120, 119, 40]
TOKENS = sum(LENGTHS)
POLICIES = ["none", "norms", "mlp", "attention", "block"]

Gradients = dict[str, torch.Tensor]


def settings(policy: str = "none", offload: bool = False, mlp_tiles: int = 1) -> CheckpointingSettings:
    return CheckpointingSettings(policy=policy, offload=offload, mlp_tiles=mlp_tiles)


def policy_of(chosen: CheckpointingSettings, config: type[Any] = Qwen3Config, **changed: Any) -> Policy:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(**SHAPE | changed), attn_implementation=attention.NAME)
    checkpointing.apply(model, chosen)
    return Policy(model, 1.0, attention.Whole(attention.sdpa))


def loss(policy: Policy, lengths: list[int] = LENGTHS) -> torch.Tensor:
    rng = np.random.default_rng(0)
    packed = [document(rng.integers(0, 50, 2).astype(np.int32), rng.integers(0, 50, n - 1).astype(np.int32))
              for n in lengths]  # fmt: skip
    logprobs, _ = policy(pack(packed, torch.device("cpu")))
    return -logprobs.mean()


def gradients(policy: Policy, lengths: list[int] = LENGTHS) -> Gradients:
    loss(policy, lengths).backward()
    return {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}


def relative(a: Gradients, b: Gradients) -> float:
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).norm() / b[n].norm()) for n in b)


class Counted(TorchDispatchMode):
    """How often each operator runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.runs[func.name()] += 1
        return func(*args, **(kwargs or {}))


def kept(chosen: CheckpointingSettings, **changed: Any) -> tuple[int, int]:
    """Bytes alive between forward and backward, on the device and on the host (both memory of this CPU)."""
    policy = policy_of(chosen, **changed)
    before = offload.bytes_on_host()
    with LiveBytes() as bytes_:
        held = loss(policy)
        found = bytes_.live, offload.bytes_on_host() - before
    del held
    return found


# ---- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [Qwen3Config, LlamaConfig])
@pytest.mark.parametrize(("policy", "off"), [p for p in product(POLICIES, [False, True]) if p != ("none", False)])
def test_recomputed_and_offloaded_gradients_are_bit_identical(config: type[Any], policy: str, off: bool) -> None:
    plain = gradients(policy_of(settings(), config))
    for name, gradient in gradients(policy_of(settings(policy, off), config)).items():
        assert torch.equal(gradient, plain[name]), name


@pytest.mark.parametrize(("policy", "off", "tiles"), list(product(POLICIES, [False, True], [4, 300])))
def test_tiled_mlps_give_the_gradients_up_to_rounding(policy: str, off: bool, tiles: int) -> None:
    plain = gradients(policy_of(settings()))
    assert relative(gradients(policy_of(settings(policy, off, tiles))), plain) < 2e-6


@pytest.mark.parametrize("policy", POLICIES)
def test_evaluation_mode_gives_the_same_gradients(policy: str) -> None:
    plain = gradients(policy_of(settings()))
    evaluated = policy_of(settings(policy)).eval()
    assert relative(gradients(evaluated), plain) == 0


def test_biased_projections_have_the_same_gradients() -> None:
    plain = gradients(policy_of(settings(), attention_bias=True))
    assert relative(gradients(policy_of(settings("norms"), attention_bias=True)), plain) == 0


@pytest.mark.parametrize("chosen", [settings("mlp"), settings("norms", True), settings("block", True, 4)], ids=repr)
def test_a_copy_of_a_model_runs_and_trains_itself(chosen: CheckpointingSettings) -> None:
    original = policy_of(chosen)
    copied = copy.deepcopy(original)
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.fill_(torch.nan)
    assert all(g.isfinite().all() for g in gradients(copied).values())
    assert all(p.grad is None and not hasattr(p, "ds_grad_is_ready") for p in original.parameters())


@pytest.mark.parametrize("policy", ["norms", "attention", "block"])
@pytest.mark.parametrize("off", [False, True])
def test_hidden_states_given_by_name_have_their_gradient_and_are_moved(policy: str, off: bool) -> None:
    found = []
    for chosen in (settings(), settings(policy, off)):
        made = policy_of(chosen)
        layer, size = made.model.model.layers[0], TOKENS
        embedded = torch.randn(1, size, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        places = torch.arange(size)[None]
        rotary = made.model.model.rotary_emb(embedded, places)
        row = RowLayout([size], torch.device("cpu"))
        hidden = embedded * 1
        out = layer(hidden_states=hidden, position_embeddings=rotary, row=row, over=made.attend)
        if chosen.offload:
            assert offload.bytes_on_host() >= size * WIDTH
        out.square().sum().backward()
        assert embedded.grad is not None
        found.append(embedded.grad)
    assert torch.equal(found[0], found[1])


def test_what_is_written_to_in_place_after_it_was_kept_is_computed_again() -> None:
    """DeepSpeed's linear layer under ZeRO-3 adds its bias so."""
    weight = torch.randn(8, 8, requires_grad=True)
    hidden = torch.randn(4, 8, requires_grad=True)

    def layer(x: torch.Tensor) -> torch.Tensor:
        inner = x @ weight
        inner += 1.0
        return (inner.square() @ weight).square() @ weight

    keeps = selective.KEPT_OPERATORS["norms"]
    out = checkpoint(layer, hidden, use_reentrant=False, context_fn=lambda: selective.keep_and_replay(keeps, None))
    ours = torch.autograd.grad(out.sum(), [hidden, weight])
    plain = torch.autograd.grad(layer(hidden).sum(), [hidden, weight])
    assert all(torch.equal(a, b) for a, b in zip(ours, plain))


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_policies_keep_less_in_the_order_they_promise() -> None:
    on_device = {policy: kept(settings(policy))[0] for policy in POLICIES}
    assert on_device["block"] < on_device["attention"] < on_device["mlp"] < on_device["none"]
    assert on_device["attention"] < on_device["norms"] < on_device["none"]


def per_layer(chosen: CheckpointingSettings) -> tuple[int, int]:
    """What one layer more keeps, on device and host."""
    few, many = (kept(chosen, num_hidden_layers=n) for n in (2, 5))
    return (many[0] - few[0]) // 3, (many[1] - few[1]) // 3


def test_block_keeps_a_layers_input_and_attention_also_its_kernels_output() -> None:
    assert per_layer(settings("block")) == (TOKENS * WIDTH, 0)
    in_rectangles = 3 * 120  # short documents share one rectangle, padded
    statistics = in_rectangles * 4 * 4  # a float32 for each head
    assert per_layer(settings("attention"))[0] == TOKENS * WIDTH + in_rectangles * WIDTH + statistics


def test_norms_keeps_matrix_products_but_not_the_last() -> None:
    projections = TOKENS * (64 + 32 + 32) * 4
    output_and_mlp = TOKENS * (64 + 2 * 224) * 4
    assert per_layer(settings("norms"))[0] == per_layer(settings("attention"))[0] + projections + output_and_mlp


@pytest.mark.parametrize(("policy", "tiles"), list(product(POLICIES, [1, 4])))
def test_offload_moves_what_is_kept_to_the_host_until_backward(policy: str, tiles: int) -> None:
    stays, _ = per_layer(settings(policy, mlp_tiles=tiles))
    on_device, on_host = per_layer(settings(policy, offload=True, mlp_tiles=tiles))
    assert on_device + on_host == stays, "each storage is copied once, and its original is gone"
    assert on_device <= 0.1 * stays  # statistics of norms and attention are too small to be moved
    chosen = policy_of(settings(policy, True, tiles))
    value = loss(chosen)
    assert offload.bytes_on_host() > 0
    value.backward()
    del value
    assert offload.bytes_on_host() == 0


def test_parameters_are_not_moved() -> None:
    layer = torch.nn.Linear(256, 256)
    with offload.HostCopies().hooks():
        out = layer(torch.randn(4, 256, requires_grad=True))  # keeps weight, 256 KiB, and 4 KiB of input
        assert offload.bytes_on_host() == 0
    out.sum().backward()


def test_tiles_lower_the_peak_of_an_mlp() -> None:
    peaks = []
    for tiles in (1, 8):
        mlp = policy_of(settings(mlp_tiles=tiles), intermediate_size=1024).model.model.layers[0].mlp
        for parameter in mlp.parameters():
            parameter.grad = torch.zeros_like(parameter)
        hidden = torch.randn(1, 2048, 64, requires_grad=True)
        with LiveBytes() as bytes_:
            mlp(hidden).sum().backward()
        peaks.append(bytes_.peak)
    assert peaks[1] < 0.3 * peaks[0]


# ---- what is run, and when -------------------------------------------------------------------------------------------


def runs(chosen: CheckpointingSettings) -> Counter[str]:
    policy = policy_of(chosen)
    with Counted() as counted:
        loss(policy).backward()
    return counted.runs


def test_attention_is_run_again_only_by_block() -> None:
    kernel = "aten::_scaled_dot_product_flash_attention_for_cpu"
    times = {policy: runs(settings(policy))[kernel] for policy in POLICIES}
    plain = 3  # one rectangle, three layers
    assert times == {"none": plain, "norms": plain, "mlp": plain, "attention": plain, "block": 2 * plain}


def test_norms_runs_no_matrix_product_again() -> None:
    assert runs(settings("norms"))["aten::mm"] == runs(settings())["aten::mm"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_tiled_mlp_is_run_twice_and_not_three_times(policy: str) -> None:
    rows = []
    made = policy_of(settings(policy, mlp_tiles=4))
    made.model.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    loss(made).backward()
    assert rows == [70, 70, 70, 69] * 2


@pytest.mark.parametrize(("policy", "off", "tiles"), list(product(POLICIES, [False, True], [1, 4])))
def test_without_gradients_nothing_is_kept_or_recomputed(
    monkeypatch: pytest.MonkeyPatch, policy: str, off: bool, tiles: int
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("checkpointing at work")

    made = policy_of(settings(policy, off, tiles))
    monkeypatch.setattr(checkpointing, "checkpoint", refuse)
    monkeypatch.setattr(offload.HostCopies, "pack", refuse)
    with torch.no_grad():
        torch.testing.assert_close(loss(made), loss(policy_of(settings())))


@given(tokens=st.integers(0, 40), tiles=st.integers(2, 50))
def test_an_mlp_runs_on_as_many_slices_as_asked_for_whatever_the_tokens(tokens: int, tiles: int) -> None:
    """Under ZeRO-3 each slice gathers the weights, and ranks with rows of other lengths take part in it."""
    torch.manual_seed(tokens)
    mlp = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    called: list[int] = []
    mlp[0].register_forward_pre_hook(lambda _, args: called.append(len(args[0])))
    hidden = torch.randn(tokens, 3, requires_grad=True)
    weights = torch.randn(tokens, 3)
    inputs = [hidden, *mlp.parameters()]
    plain = torch.autograd.grad((mlp(hidden) * weights).sum(), inputs)
    called.clear()
    out = in_tiles(tiles, mlp, mlp, (hidden,), {})
    assert len(called) == tiles
    torch.testing.assert_close(out, mlp(hidden))
    called.clear()
    (out * weights).sum().backward()
    assert len(called) == tiles
    for ours, expected in zip((x.grad for x in inputs), plain):
        torch.testing.assert_close(ours, expected)


# ---- under DeepSpeed -------------------------------------------------------------------------------------------------


def train_moving_everything(rank: int, world_size: int, port: int, **arguments: Any) -> dict[str, Any]:
    """As `rank_jobs.train`; offload moves even the smallest tensors."""
    usual, offload.SMALLEST_BYTES = offload.SMALLEST_BYTES, 0
    try:
        return rank_jobs.train(rank, world_size, port, **arguments)
    finally:
        offload.SMALLEST_BYTES = usual


UNDER_ZERO = {
    "norms-offload": settings("norms", True),
    "attention-offload": settings("attention", True),
    "block": settings("block"),
    "block-tiles": settings("block", mlp_tiles=5),
}
PLAIN: dict[tuple[int, int], list[dict[str, np.ndarray]]] = {}  # gradients without checkpointing, by layout


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "sequence", "stage"), every_pair(list(product(UNDER_ZERO, [1, 2], [1, 3]))))
def test_gradients_on_two_ranks_for_any_zero_stage_and_with_shared_rows(
    pools: dict[int, RankPool], folder: Path, chosen: str, sequence: int, stage: int
) -> None:
    """Two steps of several micro-batches: what a slice or a recomputation loses or adds twice would show."""
    batch = batches.ragged_batch(folder, 1, 1.0)
    base = batches.settings(minibatches=2, token_budget=64).model_dump()
    layout = {"world_size": 2, "sequence_parallel": sequence, "zero_stage": stage}

    def train(checkpointing: CheckpointingSettings) -> list[dict[str, np.ndarray]]:
        changed = type(batches.settings())(**base | layout | {"checkpointing": checkpointing})
        results = pools[2].run(
            train_moving_everything, settings=changed, folder=folder, batches=[batch], version=batches.VERSION,
            temperature=1.0, seed=0,
        )  # fmt: skip
        return results[0]["gradients"]

    if (sequence, stage) not in PLAIN:
        PLAIN[sequence, stage] = train(settings())
    for ours, expected in zip(train(UNDER_ZERO[chosen]), PLAIN[sequence, stage], strict=True):
        if UNDER_ZERO[chosen].mlp_tiles == 1:
            assert all(np.array_equal(ours[name], expected[name]) for name in expected)
        else:
            assert relative(*({n: torch.from_numpy(g) for n, g in step.items()} for step in (ours, expected))) < 5e-5
