from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from learner import attention
from learner.packing import Document, document, pack
from learner.policy import Policy, load_model

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
        for p, r in [(3, 9), (5, 4), (2, 17)]
    ]


@torch.no_grad()
def logprobs(policy: Policy, packed: list[Document]) -> list[torch.Tensor]:
    values, _ = policy(pack(packed, torch.device("cpu")))
    return list(values.split([len(d.targets) for d in packed]))


def test_packed_documents_get_the_log_probabilities_they_have_alone(folder: Path) -> None:
    policy = Policy(load_model(folder, "float32"), temperature=0.7)
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    for doc, ours in zip(documents(0), logprobs(policy, documents(0))):
        with torch.no_grad():
            log_all = (plain(torch.tensor(doc.tokens).long()[None]).logits[0] / 0.7).log_softmax(-1)
        alone = torch.stack([log_all[t - 1, doc.tokens[t]] for t in doc.targets])
        torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_changing_one_document_leaves_the_others_bit_identical(folder: Path, changed: int) -> None:
    policy = Policy(load_model(folder, "float32"), temperature=1.0)
    before, mixed = documents(0), documents(0)
    mixed[changed] = documents(1)[changed]
    for i, (a, b) in enumerate(zip(logprobs(policy, before), logprobs(policy, mixed))):
        assert torch.equal(a, b) == (i != changed)


def test_models_that_ask_for_another_attention_are_refused() -> None:
    x = torch.zeros(1, 2, 3, 4)
    slots = torch.arange(3)
    with pytest.raises(NotImplementedError, match="sliding_window"):
        attention.packed_document_attention(
            torch.nn.Module(), x, x, x, None, rectangle=slots[None], row_slots=slots, sliding_window=2
        )
