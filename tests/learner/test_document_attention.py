from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from reprise.learner import attention
from reprise.learner.attention import KERNELS, Whole
from reprise.learner.packing import Document, document
from reprise.learner.policy import Policy, load_model
from reprise.learner.rows import RowLayout, pack

SHAPE = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module", params=[Qwen3Config, LlamaConfig], ids=["qwen3", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    AutoModelForCausalLM.from_config(request.param(**SHAPE)).save_pretrained(path)
    return path


def documents(seed: int) -> list[Document]:
    rng = np.random.default_rng(seed)
    return [
        document(rng.integers(0, 50, p).astype(np.int32), rng.integers(0, 50, r).astype(np.int32))
        for p, r in [(3, 9), (5, 4), (2, 17), (1, 1), (4, 9)]
    ]


def policy_of(folder: Path, temperature: float = 1.0, kernel: str = "sdpa") -> Policy:
    return Policy(load_model(folder, "float32"), temperature, Whole(KERNELS[kernel]))


@torch.no_grad()
def logprobs(policy: Policy, packed: list[Document]) -> list[torch.Tensor]:
    values, _ = policy(pack(packed, torch.device("cpu")))
    return list(values.split([len(d.targets) for d in packed]))


@pytest.mark.parametrize("kernel", ["sdpa", "flex_attention"])
def test_packed_documents_get_the_log_probabilities_they_have_alone(folder: Path, kernel: str) -> None:
    policy = policy_of(folder, 0.7, kernel)
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    for doc, ours in zip(documents(0), logprobs(policy, documents(0))):
        with torch.no_grad():
            log_all = (plain(torch.tensor(doc.tokens).long()[None]).logits[0] / 0.7).log_softmax(-1)
        alone = torch.stack([log_all[t - 1, doc.tokens[t]] for t in doc.targets])
        torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changed", [0, 1, 2, 3, 4])
def test_changing_one_document_leaves_the_others_bit_identical(folder: Path, changed: int) -> None:
    policy = policy_of(folder)
    before, mixed = documents(0), documents(0)
    mixed[changed] = documents(1)[changed]
    for i, (a, b) in enumerate(zip(logprobs(policy, before), logprobs(policy, mixed))):
        assert torch.equal(a, b) == (i != changed)


def test_flash_attention_is_told_where_documents_begin_and_end(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """flash-attn needs a GPU: here a stand-in with its signature attends document by document, by `cu_seqlens`."""

    def varlen(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, ends: torch.Tensor, ends_k: torch.Tensor, longest: int,
        longest_k: int, softmax_scale: float | None, causal: bool,
    ) -> torch.Tensor:  # fmt: skip
        assert ends is ends_k
        assert ends.dtype == torch.int32
        assert longest == longest_k == ends.diff().max()
        assert causal
        parts = [
            torch.nn.functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=softmax_scale, enable_gqa=True
            )[0].transpose(0, 1)
            for a, b in zip(ends[:-1].tolist(), ends[1:].tolist())
            for query, key, value in [[x[a:b].transpose(0, 1)[None] for x in (q, k, v)]]
        ]
        return torch.cat(parts)

    monkeypatch.setitem(sys.modules, "flash_attn", types.SimpleNamespace(flash_attn_varlen_func=varlen))
    flash, plain = (logprobs(policy_of(folder, kernel=name), documents(0)) for name in ("flash_attention_2", "sdpa"))
    for a, b in zip(flash, plain):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=40))
def test_every_token_has_one_place_in_rectangles_that_are_little_padded(lengths: list[int]) -> None:
    row = RowLayout(lengths, torch.device("cpu"))
    places = torch.cat([r.flatten() for r in row.rectangles])
    assert places[row.slots].tolist() == list(range(sum(lengths)))
    assert all((rectangle.diff(dim=1) >= 0).all() for rectangle in row.rectangles)
    for rectangle in row.rectangles:
        padding = rectangle.numel() - len(rectangle.unique())
        assert padding <= max(0.125 * rectangle.numel(), 1024)
    assert row.boundaries.tolist() == [0, *np.cumsum(lengths)]
    assert row.document_of.tolist() == [i for i, n in enumerate(lengths) for _ in range(n)]


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"softcap": 50.0}, "soft caps"), ({"s_aux": torch.zeros(2)}, "sinks"), ({"dropout": 0.1}, "dropout")],
)
def test_models_that_ask_for_another_attention_are_refused(asked: dict[str, Any], named: str) -> None:
    x = torch.zeros(1, 2, 3, 4)
    row = RowLayout([3], torch.device("cpu"))
    with pytest.raises(NotImplementedError, match=f"without {named}"):
        attention.packed_attention(torch.nn.Module(), x, x, x, None, row=row, over=Whole(KERNELS["sdpa"]), **asked)
