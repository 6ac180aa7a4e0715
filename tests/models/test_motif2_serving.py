"""Training side against serving side: the same tokens have the same log-probabilities in both, whatever vLLM does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_harness import LONGEST, SETTINGS, LiveEngine
from published_policies import Policies, logprobs

from reprise.models.motif2.build import build

pytestmark = [pytest.mark.slow, pytest.mark.engines]

TOLERANCE = 1e-4  # nats
VOCABULARY = 100  # ids below this exist in the demo's vocabulary


def prompts(*lengths: int) -> list[list[int]]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, VOCABULARY, length).tolist() for length in lengths]


def compare_with_training(live: LiveEngine, policies: Policies, decoded: int) -> None:
    """Prefill, and greedy tokens decoded from the cache, against the transformers model with full logits."""
    model = policies.model
    for ids in prompts(2, 63, LONGEST - 1):
        served = live.run(live.engine.score(ids))
        assert np.abs(served - logprobs(model, np.asarray(ids), 1.0)).max() <= TOLERANCE

    asked = prompts(3, 17, 60, 60)
    asked[3] = asked[2][:50] + asked[3][50:]  # a prefix of which the keys are there already
    for prompt, (tokens, reported) in zip(asked, live.greedy(asked, decoded)):
        assert len(tokens) == decoded
        sequence = np.asarray(prompt + tokens)
        with torch.no_grad():
            table = model(torch.as_tensor(sequence)[None]).logits[0].double().log_softmax(-1)[len(prompt) - 1 : -1]
        ours = table[torch.arange(decoded), torch.as_tensor(tokens)]
        assert np.abs(np.asarray(reported) - ours.numpy()).max() <= TOLERANCE
        # Each token is the training side's first choice too, or as good as it.
        assert (table.max(-1).values - ours).max() <= TOLERANCE


def test_one_rank_serves_what_is_trained_before_and_after_an_update(
    motif2_policy: Path, live_engine: LiveEngine
) -> None:
    policies = Policies(motif2_policy, live_engine)
    policies.publish(0)
    compare_with_training(live_engine, policies, 256)
    policies.publish(1)
    compare_with_training(live_engine, policies, 256)


@pytest.fixture(scope="module")
def published_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy folder whose config.json calls things as the published one does."""
    folder = build(tmp_path_factory.mktemp("published"), seed=3, max_position_embeddings=LONGEST)
    content = json.loads((folder / "config.json").read_text())
    content |= {"architectures": ["MotifForCausalLM"], "rope_theta": content.pop("rope_parameters")["rope_theta"]}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def two_ranks(published_names: Path) -> Iterator[LiveEngine]:
    """One engine over two processes, each with one of the two groups of heads; prompts are prefilled in chunks."""
    halves = SETTINGS.engine.model_copy(update={"tensor_parallel": 2, "max_num_seqs": 32, "max_num_batched_tokens": 32})
    engine = LiveEngine(published_names, SETTINGS.model_copy(update={"engine": halves}))
    yield engine
    engine.close()


def test_two_ranks_serve_the_exported_weights_and_then_published_ones(
    published_names: Path, two_ranks: LiveEngine
) -> None:
    policies = Policies(published_names, two_ranks)
    compare_with_training(two_ranks, policies, 64)  # the folder's weights: nothing has been published
    policies.publish(0)
    compare_with_training(two_ranks, policies, 64)
