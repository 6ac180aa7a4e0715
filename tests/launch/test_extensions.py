"""Each example of extending.md as a plug-in, `./file.py:Name`, in a folder of its own; and a run with all of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from doc_examples import examples
from engine_harness import LiveEngine
from published_policies import Policies, logprobs
from stand_ins import LocalControl, StandInTrainEngine, taught
from whole_runs import Run

from reprise.core.errors import UserError
from reprise.core.types import FinishReason, Task
from reprise.learner.learner import Learner
from reprise.learner.publishing.settings import PublishSettings
from reprise.learner.settings import LearnerSettings
from reprise.rollout.chat import ChatCodec
from reprise.rollout.engine import Sampling, engine_class
from reprise.rollout.settings import RolloutSettings

TRANSPORT = "./shared_folder.py:SharedFolder"
ENGINE = "./torch_engine.py:TorchEngine"
LOSS = "./reinforce.py:LOSS"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's own, with the examples in it."""
    for name, text in examples().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def test_the_loss_trains(folder: Path) -> None:
    engine = StandInTrainEngine()
    Learner(engine, LearnerSettings(loss=LOSS, lr=0.1), seed=0).train_batch([taught(5, 9)], 0)
    table = engine.policy().exp()
    assert table[5] > table[0] > table[9]


def test_the_engine_samples_from_the_weights_that_the_transport_brought(folder: Path, tiny_policy: Path) -> None:
    engine = engine_class(ENGINE)(RolloutSettings(), tiny_policy, dtype="float32", transport=TRANSPORT, seed=0)
    policies = Policies(tiny_policy, LocalControl([engine]), PublishSettings(transport=TRANSPORT, bucket_mb=0.05))
    policies.publish(3)
    codec = ChatCodec(tiny_policy)
    prompt = codec.prompt_ids(Task("t", "1+2=", "sums", "exact"))
    sampling = Sampling("group t#1", n=4, seed=1, temperature=0.7, max_tokens=12, stop_ids=codec.stop_ids)
    completions = asyncio.run(engine.sample(prompt, sampling))
    assert len(completions) == 4
    for completion in completions:
        sequence = np.concatenate([prompt, completion.token_ids])
        expected = logprobs(policies.model, sequence, 0.7)[len(prompt) - 1 :]
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)
        assert set(completion.versions) == {3}
        ended = completion.token_ids[-1] in codec.stop_ids
        assert completion.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)
    again = asyncio.run(engine.sample(prompt, sampling))
    assert [c.token_ids.tolist() for c in again] == [c.token_ids.tolist() for c in completions]


def test_an_engine_that_lacks_a_method_is_refused_by_its_name(folder: Path) -> None:
    text = (folder / "torch_engine.py").read_text()
    (folder / "lacking.py").write_text(text.replace("def begin_weights", "def start_weights"))
    with pytest.raises(UserError, match=r"lacking.py:TorchEngine is no rollout engine: it lacks begin_weights"):
        engine_class("./lacking.py:TorchEngine")


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.full  # half a minute; above, a stand-in's engine has the weights from it
def test_the_transport_brings_weights_to_vllm(folder: Path, live_engine: LiveEngine, motif2_policy: Path) -> None:
    policies = Policies(motif2_policy, live_engine, PublishSettings(transport=str(folder / TRANSPORT), bucket_mb=0.5))
    policies.publish(90)
    policies.publish(91)  # over the files of the former
    policies.publisher.close()
    assert not list(folder.glob("weights-*"))


@pytest.mark.slow
@pytest.mark.engines  # Ray
@pytest.mark.full  # half a minute; above, loss, engine and transport work without Ray
@pytest.mark.timeout(600)
def test_a_run_trains_with_verifier_tasks_loss_transport_and_engine_of_the_user_s_own(folder: Path) -> None:
    settings = {
        "steps": 3,
        "buffer.batch_groups": 8,
        "data.train.0.generator": "./vowels.py:tasks",
        "data.held_out.0.generator": "./vowels.py:tasks",
        "rewards.verifiers.vowels.use": "./vowels.py:VowelVerifier",
        "learner.loss": LOSS,
        "weights.transport": TRANSPORT,
        "rollout.engine.use": ENGINE,
    }
    run = Run(folder / "runs", settings, folder / "vowels.yaml", cwd=folder)
    try:
        assert run.wait(400) == 0, run.output
        assert [line["step"] for line in run.steps] == [1, 2, 3]
        assert all(line["publish/mismatch"] < 1e-3 for line in run.steps)
        assert all(0 < line["reward/vowels"] < 1 for line in run.steps)
        assert run.find("VLLM") == []
        assert not list(folder.glob("weights-*"))
    finally:
        run.kill_all()
