"""Which degrees a model's heads allow, and attention where heads are fewer than ranks."""

from __future__ import annotations

from pathlib import Path

import batches
import numpy as np
import objective_twin as twin
import pytest
import rank_jobs
import torch
from rank_pool import RankPool
from transformers import LlamaConfig

from reprise.core.errors import UserError
from reprise.learner.heads import Heads, check_degree, heads_of
from reprise.models import tiny
from reprise.models.motif2.build import config as motif2


def llama(heads: int, key_value: int) -> LlamaConfig:
    return LlamaConfig(hidden_size=96, num_attention_heads=heads, num_key_value_heads=key_value, num_hidden_layers=1)


def test_heads_come_from_the_configuration() -> None:
    assert heads_of(llama(8, 2)) == Heads(query=8, key_value=2, head_dim=12, groups=8)


def test_a_model_with_its_own_attention_says_how_it_may_be_shared() -> None:
    assert heads_of(motif2(preset="12p7b")) == Heads(query=40, key_value=8, head_dim=256, groups=8)
    for degree in (1, 2, 4, 8):
        check_degree(motif2(preset="12p7b"), degree)
    with pytest.raises(UserError, match=r"sequence_parallel 5 .* 8 groups of heads \(40 query heads\).*\[1, 2, 4, 8\]"):
        check_degree(motif2(preset="12p7b"), 5)


def test_a_degree_that_does_not_divide_the_heads_is_refused_with_those_that_do() -> None:
    check_degree(llama(8, 2), 4)  # key-value heads may be fewer than ranks, if they divide them
    with pytest.raises(UserError, match=r"sequence_parallel 3 .* 8 attention heads .* use one of \[1, 2, 4, 8\]"):
        check_degree(llama(8, 2), 3)
    with pytest.raises(UserError, match="3 key-value heads neither divide into 2 equal shares nor divide 2"):
        check_degree(llama(12, 3), 2)


@pytest.mark.slow
def test_ranks_may_be_more_than_key_value_heads(pools: dict[int, RankPool], tmp_path: Path) -> None:
    folder = tiny.build(tmp_path, 0, width=32, layers=2, heads=4, kv_heads=1, head_dim=32, ffn=48, init_std=0.2)
    trajectories = [t for group in batches.ragged_batch(folder, 6, 0.7) for t in group.trajectories]
    settings = batches.settings(world_size=2, sequence_parallel=2, token_budget=128)
    results = pools[2].run(
        rank_jobs.logprobs,
        settings=settings,
        folder=folder,
        sequences=[(t.prompt_ids, t.response_ids) for t in trajectories],
        temperature=0.7,
    )
    model = twin.load(folder)
    with torch.no_grad():
        expected = [twin.logprobs(model, t, 0.7).numpy() for t in trajectories]
    for result in results:
        np.testing.assert_allclose(np.concatenate(result), np.concatenate(expected), atol=1e-5)


@pytest.mark.slow
def test_a_rank_without_the_kernels_package_says_what_to_install(pools: dict[int, RankPool], folder: Path) -> None:
    with pytest.raises(AssertionError, match="flash_attention_2 needs the package flash-attn"):
        pools[1].run(
            rank_jobs.logprobs,
            settings=batches.settings(attention="flash_attention_2"),
            folder=folder,
            sequences=[],
            temperature=1.0,
        )
