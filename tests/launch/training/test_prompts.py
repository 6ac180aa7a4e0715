"""A tokenizer and a chat template that cannot write the prompts of a run are refused before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recipe_files import PLAIN_TEMPLATE, write_policy_folder

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.launch.training.prompts import check_prompts
from reprise.rollout.settings import RolloutSettings, VllmEngineSettings

SETTINGS = RolloutSettings(max_response_tokens=8, engine=VllmEngineSettings(max_model_len=64))


def task(prompt: Any, name: str = "t") -> Task:
    return Task(name, prompt, "sums", "exact", answer="2")


def with_tokens(folder: Path, *tokens: str) -> Path:
    """The policy of `write_policy_folder`, whose tokenizer has the ids 0 and 1, with added tokens: ids 2, 3, ..."""
    write_policy_folder(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    content["added_tokens"] = [{"id": i, "content": token, **plain} for i, token in enumerate(tokens, 2)]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def refused(folder: Path, rows: int, *tasks: Task, settings: RolloutSettings = SETTINGS) -> str:
    with pytest.raises(UserError) as error:
        check_prompts(settings, folder, rows, tasks)
    return str(error.value)


def test_a_prompt_with_a_token_that_has_no_embedding_is_refused(tmp_path: Path) -> None:
    folder = with_tokens(tmp_path / "p", "<a>", "<b>")
    check_prompts(SETTINGS, folder, 4, [task("say <b>")])
    assert refused(folder, 3, task("fine"), task("say <b>", "bad")) == (
        f"{folder}: the tokenizer has tokens for which the policy has no embedding: '<b>' in the prompt of task 'bad' "
        "has id 3, and config.json's vocab_size is 3; resize the model's embeddings (resize_token_embeddings), or give "
        "the tokenizer that belongs to it"
    )


def test_every_prompt_is_looked_at_though_only_the_longest_are_tokenized(tmp_path: Path) -> None:
    folder = with_tokens(tmp_path / "p", "<a>", "<b>")
    many = [task("a longer prompt", f"{i}") for i in range(100)]
    assert "'<b>' in the prompt of task 'short'" in refused(folder, 3, *many, task("<b>", "short"))


def test_added_tokens_that_no_text_has_do_no_harm(tmp_path: Path) -> None:
    """As Gemma's tokenizer has one more than some of its models."""
    check_prompts(SETTINGS, with_tokens(tmp_path / "p", "<a>", "<image>"), 3, [task("say <a>")])


def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_policy_folder(tmp_path / "p")
    assert "'<end>' in what ends a response has id 1, and config.json's vocab_size is 1" in refused(
        folder, 1, task("fine")
    )
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] = {"?": 0, "<end>": 1, "word": 2}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "'word' in its vocabulary has id 2, and config.json's vocab_size is 2" in refused(folder, 2, task("fine"))


def test_a_token_of_the_template_counts_too(tmp_path: Path) -> None:
    folder = with_tokens(tmp_path / "p", "<think>")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = PLAIN_TEMPLATE + "<think>"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert "'<think>' in the prompt of task 't' has id 2" in refused(folder, 2, task("fine"))


def test_a_template_that_leaves_out_messages_of_a_role_is_refused(tmp_path: Path) -> None:
    system, user = {"role": "system", "content": "be brief"}, {"role": "user", "content": "1+1="}
    users_only = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }} {% endfor %}"
    folder = write_policy_folder(tmp_path / "p", chat_template=users_only)
    check_prompts(SETTINGS, folder, 8, [task("1+1="), task([user])])
    said = refused(folder, 8, task("1+1="), task([system, user], "with system"), task([system, user], "later"))
    assert said.startswith(
        f"task 'with system': {folder}'s chat template leaves out messages[0].content of its prompt (roles system, "
        "user), so that the policy would never read it"
    )
    whole = write_policy_folder(tmp_path / "whole")
    check_prompts(SETTINGS, whole, 8, [task([system, user])])
