"""Episodes of a single turn: what an engine is asked for a task, and what its tokens become."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_ins import StandInEngine, tokens

from reprise.core.types import FinishReason, Group, Task
from reprise.models.tiny import character_tokenizer
from reprise.rewards.base import Answer
from reprise.rollout.engine import Completion, Sampling
from reprise.rollout.episodes.base import Responses, SampleRequest, TaskDoesNotFit
from reprise.rollout.episodes.single_turn import SingleTurn
from reprise.rollout.seeds import request_seed
from reprise.rollout.settings import RolloutSettings, VllmEngineSettings

TASK = Task("t", "1+2=", "sums", "exact", answer="3")


def engine_of(*texts: str) -> StandInEngine:
    """Continues every prompt with these texts, the even ones cut off at the limit."""
    tokenizer = character_tokenizer()
    whole = [np.asarray([*tokenizer.encode(text), tokenizer.eos_token_id], np.int32) for text in texts]
    ids = [each[: None if i % 2 else -1] for i, each in enumerate(whole)]

    def respond(i: int) -> Completion:
        logprobs = -np.arange(len(ids[i]), dtype=np.float32) - i
        versions = np.arange(len(ids[i]), dtype=np.int32) + i
        return Completion(ids[i], logprobs, versions, FinishReason.STOP if i % 2 else FinishReason.LENGTH)

    engine = StandInEngine()
    engine.respond = respond if texts else lambda i: tokens([1])
    return engine


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    character_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def single_turn(policy: Path, max_response_tokens: int = 16, max_model_len: int = 64, seed: int = 7) -> SingleTurn:
    engine = VllmEngineSettings(max_model_len=max_model_len)
    settings = RolloutSettings(group_size=2, temperature=0.7, max_response_tokens=max_response_tokens, engine=engine)
    return SingleTurn(settings, policy, seed)


def play(episode: SingleTurn, engine: StandInEngine, task: Task = TASK, **more: Any) -> tuple[Group, Responses]:
    return asyncio.run(episode.run(engine, SampleRequest(task, f"{task.id}#1", 3, 2, **more)))


def test_a_group_is_asked_for_once_with_its_own_noise(policy: Path) -> None:
    episode = single_turn(policy)
    engine = engine_of()
    play(episode, engine)
    [(prompt, sampling)] = engine.asked
    assert prompt.tolist() == episode.codec.prompt_ids(TASK).tolist()
    assert sampling == Sampling(
        name="group t#1",
        n=2,
        seed=request_seed(7, "t#1"),
        temperature=0.7,
        max_tokens=16,
        stop_ids=episode.codec.stop_ids,
    )


@pytest.mark.parametrize(
    ("allowed", "room", "asked_for", "most"),
    [
        (16, 20, None, 16),
        (16, 20, 9, 9),
        (16, 20, 17, 16),  # a request may lower the recipe's limit, and not raise it
        (16, 5, None, 5),
        (16, 5, 9, 5),
        (16, 1, None, 1),
    ],
)
def test_a_response_has_what_recipe_request_and_prompt_leave(
    policy: Path, allowed: int, room: int, asked_for: int | None, most: int
) -> None:
    prompt = len(single_turn(policy).codec.prompt_ids(TASK))
    episode = single_turn(policy, allowed, max_model_len=prompt + room)
    engine = engine_of()
    play(episode, engine, max_tokens=asked_for)
    assert engine.asked[0][1].max_tokens == most


def test_the_engine_s_records_become_trajectories_token_by_token(policy: Path) -> None:
    episode = single_turn(policy)
    engine = engine_of("<ans>3</ans>", "<ans>12</ans>")
    group, _ = play(episode, engine)
    assert (group.id, group.task, group.start_version) == ("t#1", TASK, 3)
    assert (group.advantages, group.weighted) == (None, None)
    completions = asyncio.run(engine.sample(*engine.asked[0]))
    for trajectory, completion in zip(group.trajectories, completions, strict=True):
        assert (trajectory.task_id, trajectory.group_id, trajectory.verdict) == ("t", "t#1", None)
        np.testing.assert_array_equal(trajectory.prompt_ids, episode.codec.prompt_ids(TASK))
        np.testing.assert_array_equal(trajectory.response_ids, completion.token_ids)
        np.testing.assert_array_equal(trajectory.behaviour_logprobs, completion.logprobs)
        np.testing.assert_array_equal(trajectory.versions, completion.versions)
        assert trajectory.trainable.all(), "the policy sampled every token"
        assert trajectory.finish_reason is completion.finish_reason


def test_the_responses_say_what_verifiers_and_people_need(policy: Path) -> None:
    episode = single_turn(policy)
    group, responses = play(episode, engine_of("<ans>3</ans>", "<ans>12</ans>"))
    assert responses.texts == ("<ans>3</ans>", "<ans>12</ans>")
    assert responses.truncated == (True, False)
    assert responses.tokens == tuple(len(t.response_ids) for t in group.trajectories)
    assert responses.seconds >= 0
    assert responses.answers(TASK) == [Answer(TASK, "<ans>3</ans>", True), Answer(TASK, "<ans>12</ans>", False)]


def test_a_prompt_that_leaves_no_room_is_refused_by_name(policy: Path) -> None:
    episode = single_turn(policy)
    engine = engine_of()
    with pytest.raises(TaskDoesNotFit, match=r"task '7': a prompt of \d+ tokens leaves no room .*max_model_len = 64"):
        play(episode, engine, Task("7", "1+" * 40, "sums", "exact"))
    assert not engine.asked
