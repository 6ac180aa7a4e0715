from __future__ import annotations

from pathlib import Path

import batches
import numpy as np
import pytest
import rank_jobs
import torch
from rank_pool import RankPool
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("world_size", "stage"), [(1, 1), (2, 3)])
def test_a_fine_tuned_policy_is_exported_whole_and_rl_starts_fresh_from_it(
    pools: dict[int, RankPool], folder: Path, tmp_path: Path, world_size: int, stage: int
) -> None:
    rng = np.random.default_rng(0)
    steps, size = 12, 8
    pairs = [
        (rng.integers(10, 87, 4).astype(np.int32), np.asarray([20, 21, 22, 23, 24][: rng.integers(2, 6)], np.int32))
        for _ in range(steps * size)
    ]
    settings = batches.settings(world_size=world_size, zero_stage=stage, optimizer="adamw", lr=1e-3, grad_clip=1.0)
    results = pools[world_size].run(
        rank_jobs.fine_tune_then_rl,
        settings=settings, stage=settings.model_copy(update={"betas": (0.9, 0.95), "weight_decay": 0.1}), lr=1e-2,
        folder=folder, exported=tmp_path / "out", batches=[pairs[i : i + size] for i in range(0, len(pairs), size)],
        batch=batches.ragged_batch(folder, 8, 1.0),
    )  # fmt: skip
    for result in results:
        losses = [loss for loss, _ in result["steps"]]
        assert losses[-1] < 0.5 * losses[0]
        assert all(step.tokens > 0 and step.applied for _, step in result["steps"])
        assert result["steps"] == results[0]["steps"]
        for name, value in result["fresh"].items():
            np.testing.assert_array_equal(result["continued"][name], value, err_msg=name)

    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    parameters = dict(saved.named_parameters())
    assert parameters.keys() == results[0]["tuned"].keys()
    for name, value in results[0]["tuned"].items():
        np.testing.assert_array_equal(parameters[name].detach().numpy(), value, err_msg=name)
    assert saved.config._attn_implementation == "sdpa", "the learner's own attention must not travel with the policy"
    tokenizer, original = AutoTokenizer.from_pretrained(tmp_path / "out"), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == original.get_vocab()
    assert tokenizer.chat_template == original.chat_template

    prompt, response = pairs[0]
    with torch.no_grad():
        tokens = torch.tensor(np.concatenate([prompt, response])).long()
        log_all = saved(tokens[None]).logits[0].log_softmax(-1)
    wanted = [log_all[len(prompt) - 1 + i, t].item() for i, t in enumerate(response)]
    np.testing.assert_allclose(results[0]["logprobs"][0], wanted, atol=1e-4)
