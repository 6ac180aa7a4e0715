"""SmolLM2-135M in bfloat16: engine and learner agree as closely as the checks of a run demand, and no closer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from engine_harness import LiveEngine
from stand_ins import StandInFleet

from reprise.core.types import Float32, Int32, Task
from reprise.launch.evaluation.probe import probe
from reprise.learner.attention import Whole, kernel
from reprise.learner.packing import document
from reprise.learner.policy import Policy, load_model
from reprise.learner.publishing.control import PublishError
from reprise.learner.publishing.publisher import Publisher
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.publishing.shared_memory import SharedMemory
from reprise.learner.rows import pack
from reprise.models import smollm2
from reprise.rollout.settings import RolloutSettings, VllmEngineSettings

pytestmark = [pytest.mark.slow, pytest.mark.engines]

SETTINGS = RolloutSettings(
    max_response_tokens=16, engine=VllmEngineSettings(max_model_len=128, max_num_seqs=16, kv_cache_gb=0.25)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    smollm2.build(tmp_path / "policy", seed=0)
    return tmp_path / "policy"


@pytest.fixture
def engine(folder: Path) -> Iterator[LiveEngine]:
    live = LiveEngine(folder, SETTINGS, "bfloat16")
    yield live
    live.close()


class PlainLearner:
    """The learner's policy and its log-probabilities without ranks."""

    def __init__(self, folder: Path) -> None:
        self.model = load_model(folder, "bfloat16").eval()
        self._policy = Policy(self.model, 1.0, Whole(kernel("sdpa")), "streamed")

    @torch.no_grad()
    def logprobs(self, sequences: Sequence[tuple[Int32, Int32]]) -> list[Float32]:
        rows = (pack([document(*sequence)], torch.device("cpu"), 0, 1) for sequence in sequences)
        return [self._policy(row, with_entropy=False)[0].numpy() for row in rows]

    def of_tokens(self, ids: Sequence[int]) -> Float32:
        tokens = np.asarray(ids, np.int32)
        return self.logprobs([(tokens[:1], tokens[1:])])[0]

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, p.data) for name, p in self.model.named_parameters())


@pytest.mark.timeout(900)  # a quarter of an hour on a machine that does five other things
def test_the_checks_of_a_run_pass_in_bfloat16_and_still_see_wrong_weights(
    folder: Path, engine: LiveEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedMemory, "folder", tmp_path)  # /dev/shm may be small
    learner = PlainLearner(folder)
    settings = PublishSettings(bucket_mb=128)
    publisher = Publisher(
        settings,
        dtype="bfloat16",
        module=learner.model,
        weights=learner.weights,
        logprobs=learner.of_tokens,
        control=engine,
        rank=0,
        master_address="127.0.0.1",
        master_port=0,
        vocabulary_size=learner.model.config.vocab_size,
        seed=0,
    )
    report = publisher.publish(0)
    assert 1e-3 < report.mismatch < settings.check_limit("bfloat16")  # float32's limit would refuse it

    async def logprobs(sequences: Any) -> Any:
        return learner.logprobs(sequences)

    asked = ["Why is the sky blue?", "Name three colours.", "What is 7 + 5?", "Write a short poem."]
    tasks = [Task(f"t{i}", prompt, "test", "exact") for i, prompt in enumerate(asked)]
    fleet = StandInFleet(engine.engine, engine.episode)
    group, limit = SimpleNamespace(logprobs=logprobs), settings.probe_limit
    sampled = engine.run(
        probe(fleet, group, tasks, group_size=4, version=0, limit=limit("bfloat16")),  # type: ignore[arg-type]
        timeout=300.0,
    )
    assert 1e-3 < sampled < report.mismatch, "random tokens are where bfloat16 differs most"

    learner.model.model.layers[15].self_attn.k_proj.weight.data.zero_()  # the engine keeps what it was sent
    with pytest.raises(PublishError, match="it does not hold the weights sent"):
        publisher._check()
    publisher.close()
