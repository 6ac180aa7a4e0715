"""The real engine: what it records of each token is what the learner would compute."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from engine_harness import LiveEngine, trajectories
from published_policies import Policies

from reprise.core.types import FinishReason
from reprise.learner.publishing.control import PublishError
from reprise.rollout.group_deadlines import GroupDeadlines

pytestmark = [pytest.mark.slow, pytest.mark.engines]

PROMPTS = [f"what comes after {word}?" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight")]


@pytest.fixture(scope="module")
def policies(motif2_policy: Path, live_engine: LiveEngine) -> Policies:
    policies = Policies(motif2_policy, live_engine)
    policies.publish(0)
    return policies


def test_recorded_logprobs_are_those_of_the_sampled_distribution(live_engine: LiveEngine, policies: Policies) -> None:
    sampled = trajectories(live_engine.sample(PROMPTS).result(120))
    assert len(sampled) == len(PROMPTS) * 4
    for trajectory in sampled:
        assert policies.worst_error(trajectory, live_engine.settings.temperature) < 1e-4


def test_a_response_that_spans_an_update_has_each_tokens_logprob_at_its_own_version(
    live_engine: LiveEngine, policies: Policies
) -> None:
    live_engine.engine.stats()
    first = max(policies.at_version) + 1
    pending = live_engine.sample(PROMPTS)
    version = first
    while not pending.done() and version < first + 4:
        time.sleep(0.15)
        policies.publish(version)
        version += 1
    sampled = trajectories(pending.result(120))
    spanning = [t for t in sampled if len(np.unique(t.versions)) > 1]
    assert spanning, "no response was in flight during an update"
    assert max(policies.worst_error(t, live_engine.settings.temperature) for t in sampled) < 1e-4
    assert live_engine.engine.stats().recomputed_tokens > 0


def test_a_dropped_shard_of_a_stacked_layer_is_caught(
    live_engine: LiveEngine, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = live_engine.engine.write_weights

    async def without_one_shard(update: dict) -> None:
        facts = update["facts"]
        keep = [i for i, name in enumerate(facts["names"]) if "layers.1.self_attn.k_proj" not in name]
        await original(update | {"facts": {k: [v[i] for i in keep] for k, v in facts.items()}})

    version = max(policies.at_version) + 1
    with monkeypatch.context() as patch:
        patch.setattr(live_engine.engine, "write_weights", without_one_shard)
        with pytest.raises(PublishError, match=rf"version {version} failed in stage 'transfer'.*lacks 1 of .*k_proj"):
            policies.publish(version)
    policies.publish(version + 1)
    sampled = trajectories(live_engine.sample(PROMPTS[:2]).result(120))
    assert max(policies.worst_error(t, live_engine.settings.temperature) for t in sampled) < 1e-4


def test_an_engine_with_other_weights_than_the_learners_is_caught(
    live_engine: LiveEngine, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = max(policies.at_version) + 1
    with monkeypatch.context() as patch:
        learners = policies.publisher._logprobs
        patch.setattr(policies.publisher, "_logprobs", lambda ids: learners(ids) + np.float32(2e-3))
        with pytest.raises(PublishError, match=r"stage 'check'.*disagrees with the learner by 0\.002 nats"):
            policies.publish(version)


def test_a_truncated_response_is_marked_and_a_stopped_one_ends_with_the_end_token(
    live_engine: LiveEngine, policies: Policies
) -> None:
    policies.publish(max(policies.at_version) + 1)
    ends = set(live_engine.episode.codec.stop_ids)
    sampled = trajectories(live_engine.sample(PROMPTS * 2).result(120))
    for trajectory in sampled:
        ended = int(trajectory.response_ids[-1]) in ends
        assert (trajectory.finish_reason is FinishReason.STOP) == ended
        assert trajectory.truncated == (not ended)  # an end token in the last place that is allowed is no truncation
        assert ended or len(trajectory.response_ids) == live_engine.settings.max_response_tokens


def test_busy_time_lies_within_the_time_that_passed(live_engine: LiveEngine, policies: Policies) -> None:
    live_engine.engine.stats()
    started = time.time()
    sampled = trajectories(live_engine.sample(PROMPTS).result(120))
    stats = live_engine.engine.stats()
    passed = time.time() - started
    busy = sum(end - start for start, end in stats.busy)
    assert 0 < busy <= passed
    assert stats.tokens == sum(len(t.response_ids) for t in sampled)


def test_a_groups_time_begins_with_its_first_token(
    live_engine: LiveEngine, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more groups (of one response) than vLLM has places for, the last begin after the first have ended."""
    policies.publish(max(policies.at_version) + 1)
    began, ended = [], []

    class Noted(GroupDeadlines):
        def begin(self, group: str, now: float) -> None:
            if group in self._waiting:
                began.append(now)
            super().begin(group, now)

        def end(self, group: str, now: float) -> None:
            ended.append(now)
            super().end(group, now)

    monkeypatch.setattr("reprise.rollout.vllm_engine._LOOK_S", 0.02)
    monkeypatch.setattr(live_engine.engine, "_deadlines", Noted(600.0))
    many = live_engine.settings.engine.max_num_seqs + 32
    live_engine.sample([f"what comes after {n}?" for n in range(many)], group_size=1).result(250)
    assert len(ended) == many
    assert max(began) > min(ended)


def test_a_group_has_its_own_noise_whatever_else_is_sampled(live_engine: LiveEngine, policies: Policies) -> None:
    policies.publish(max(policies.at_version) + 1)
    alone, among = (trajectories(live_engine.sample(prompts).result(120))[:8] for prompts in (PROMPTS[:2], PROMPTS))
    alone_ids, among_ids = ([tuple(t.response_ids) for t in sampled] for sampled in (alone, among))
    assert len(set(alone_ids)) == 8
    # Logits depend in their last bit on what else is computed, which may decide between two words, but seldom does.
    assert sum(one == other for one, other in zip(alone_ids, among_ids, strict=True)) >= 6
