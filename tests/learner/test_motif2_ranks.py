"""Motif-2 on the learner's ranks: rows that two ranks share give what one rank gives, and λ is not lost in bfloat16."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import batches
import motif2_jobs as jobs
import numpy as np
import objective_twin as twin
import pytest
import torch
from rank_pool import RankPool

from reprise.core.errors import UserError
from reprise.learner.heads import check_degree
from reprise.learner.packing import Document, document
from reprise.models.motif2 import Motif2ForCausalLM
from reprise.models.motif2.attention import LAMBDAS
from reprise.models.motif2.build import config
from reprise.models.motif2.configuration import lambda_init

slow = pytest.mark.slow

PACKED = [31, 23, 12, 7, 4]  # tokens of the documents of a row: an odd number, which two ranks pad


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Preset tiny, its norms, PolyNorm and λ away from where they begin."""
    torch.manual_seed(0)
    model = Motif2ForCausalLM(config())
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("motif2")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    generator = np.random.default_rng(0)
    ids = [generator.integers(0, config().vocab_size, 1 + n).astype(np.int32) for n in PACKED]
    return [document(tokens[:2], tokens[2:]) for tokens in ids]


def norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype(np.float64)))


def test_a_degree_keeps_the_groups_of_heads_whole() -> None:
    for degree in (1, 2):
        check_degree(config(), degree)
    for degree in (3, 4, 5, 10):  # 5 and 10 divide the ten query heads
        with pytest.raises(UserError, match=rf"sequence_parallel {degree} .* 2 groups of heads .* use one of \[1, 2\]"):
            check_degree(config(), degree)


@slow
def test_two_ranks_that_share_a_row_come_to_what_one_comes_to(
    pools: dict[int, RankPool], policy: Path, documents: list[Document]
) -> None:
    settings = {"token_budget": 256}
    arguments: dict[str, Any] = {"folder": policy, "documents": documents}
    (alone,) = pools[1].run(jobs.sft_step, settings=batches.settings(**settings), **arguments)
    assert {tuple(call["row"]) for call in alone["calls"]} == {tuple(PACKED)}
    by_document = one_after_the_other(policy, documents)
    for stage in (1, 3):
        shared = batches.settings(**settings, world_size=2, sequence_parallel=2, zero_stage=stage)
        for got in pools[2].run(jobs.sft_step, settings=shared, **arguments):
            assert {tuple(call["row"]) for call in got["calls"]} == {(*PACKED, 1)}
            # One whole group: four signal heads before their noise head, over its key-value head of twice the width.
            assert {call["heads"] for call in got["calls"]} == {(5, 1, 2 * config().head_dim)}
            assert all(call["signal"] == [True] * 4 + [False] for call in got["calls"])
            for expected in (alone, by_document):
                assert got["loss"] == pytest.approx(expected["loss"], rel=1e-6)
                for ours, theirs in zip(got["logprobs"], expected["logprobs"], strict=True):
                    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
                assert got["gradients"].keys() == expected["gradients"].keys()
                for name, gradient in expected["gradients"].items():
                    assert norm(got["gradients"][name] - gradient) < 1e-5 * norm(gradient), (name, stage)
    assert all(norm(g) > 0 for g in by_document["gradients"].values())


@slow
def test_steps_too_small_for_bfloat16_add_up_in_the_masters_of_lambda(
    pools: dict[int, RankPool], policy: Path, documents: list[Document]
) -> None:
    settings = batches.settings(optimizer="adamw", lr=3e-5, token_budget=256)
    (found,) = pools[1].run(jobs.many_small_steps, settings=settings, folder=policy, documents=documents, steps=60)
    assert found["types"] == {(torch.float32, torch.bfloat16)}
    masters, held = (np.stack(found[which]) for which in ("masters", "held"))  # [steps + 1, vectors, head_dim]
    np.testing.assert_array_equal(held, rounded(masters))
    # Elements whose every step a bfloat16 parameter would have rounded away, had it been stepped itself.
    lost = (rounded(held[0] + np.diff(masters, axis=0)) == held[0]).all(0)
    assert lost.mean() > 0.5
    moved = held[-1] != held[0]
    assert moved[lost].mean() > 0.5
    # Training's λ is that of the rounded vectors, in float32: what an engine makes of the weights it is sent.
    assert len(found["published"]) == config().num_hidden_layers
    for layer, (vectors, lam) in enumerate(zip(found["published"], found["lambdas"], strict=True)):
        q1, k1, q2, k2 = (vectors[name].astype(np.float64) for name in LAMBDAS)
        assert lam == pytest.approx(math.exp(q1 @ k1) - math.exp(q2 @ k2) + lambda_init(layer), rel=1e-5)
        np.testing.assert_array_equal(
            np.stack([vectors[name] for name in LAMBDAS]), held[-1][4 * layer : 4 * layer + 4]
        )


def rounded(x: np.ndarray) -> np.ndarray:
    """To bfloat16 and back."""
    return torch.from_numpy(x).bfloat16().float().numpy()


def one_after_the_other(folder: Path, documents: list[Document]) -> dict[str, Any]:
    """Loss, log-probabilities and gradients in float64: each document by itself, attention with all scores."""
    model = twin.load(folder)
    chosen = []
    for each in documents:
        tokens = torch.from_numpy(each.tokens).long()
        logits = model(tokens[None], use_cache=False).logits[0].log_softmax(-1)
        targets = torch.from_numpy(each.targets).long()
        chosen.append(logits[targets - 1, tokens[targets]])
    loss = -torch.cat(chosen).mean()
    loss.backward()
    return {
        "loss": loss.item(),
        "logprobs": [each.detach().numpy() for each in chosen],
        "gradients": {name: p.grad.numpy() for name, p in model.named_parameters()},
    }
