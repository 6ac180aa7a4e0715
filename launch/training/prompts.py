"""Can the policy's tokenizer and chat template write the prompts of a run? Checked before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from reprise.core.errors import UserError
from reprise.core.types import Int32, Task
from reprise.data.sft.left_out import left_out
from reprise.rollout.settings import RolloutSettings

if TYPE_CHECKING:
    from reprise.models.chat import Messages, Tools
    from reprise.rollout.chat import ChatCodec

_TOKENIZED = 64  # prompts in which a token without an embedding is looked for that the template may have written


def check_prompts(settings: RolloutSettings, folder: Path, rows: int, tasks: Sequence[Task]) -> None:
    """Refuse a tokenizer that cannot serve, a prompt that it cannot write, and one that leaves no room for a response
    of the allowed length.

    rows  of the policy's embedding: tokens whose ids are not below it have no vector
    """
    from reprise.rollout.chat import (
        ChatCodec,  # imports transformers, which takes seconds: only where there is a tokenizer
    )

    with loading_tokenizer(folder):
        codec = ChatCodec(folder, settings.stop)
    room = settings.engine.max_model_len - settings.max_response_tokens
    beyond = _beyond(codec, folder, rows)
    try:
        longer = next(codec.longer_prompts(tasks, room), None)
    except Exception:  # a template is a program and refuses messages in its own ways
        for task in tasks:
            _prompt_ids(codec, folder, task)
        raise
    if longer is not None:
        task, length = longer
        raise UserError(
            f"task {task.id!r} of domain {task.domain!r} has a prompt of {length} tokens, but "
            f"rollout.engine.max_model_len {settings.engine.max_model_len} - rollout.max_response_tokens "
            f"{settings.max_response_tokens} leaves {room}; raise max_model_len or leave the task out"
        )
    for task in tasks[:_TOKENIZED] if beyond else ():
        ids = _prompt_ids(codec, folder, task)
        for token, i in beyond.items():
            if i in ids:
                _refuse_token(folder, rows, token, i, f"the prompt of task {task.id!r}")
    _check_template(codec, folder, tasks)
    for task in tasks if beyond else ():  # those that were not tokenized, by their text
        for message in task.messages():
            for token, i in beyond.items():
                if token in message["content"]:
                    _refuse_token(folder, rows, token, i, f"the prompt of task {task.id!r}")


def _prompt_ids(codec: ChatCodec, folder: Path, task: Task) -> Int32:
    try:
        return codec.prompt_ids(task)
    except Exception as error:
        raise UserError(f"task {task.id!r}: {folder}'s chat template refuses its prompt: {error}") from error


def _beyond(codec: ChatCodec, folder: Path, rows: int) -> dict[str, int]:
    """Added tokens without an embedding, with which nothing is wrong as long as no text has them. Refused are others:
    the tokenizer is that of another model; and ends of a response, which could never be sampled."""
    beyond = codec.tokens_from(rows)
    for token, i in beyond.items():
        if i in codec.stop_ids:
            _refuse_token(folder, rows, token, i, "what ends a response")
        if not codec.was_added(i):
            _refuse_token(folder, rows, token, i, "its vocabulary")
    return beyond


def _refuse_token(folder: Path, rows: int, token: str, number: int, where: str) -> NoReturn:
    raise UserError(
        f"{folder}: the tokenizer has tokens for which the policy has no embedding: {token!r} in {where} has id "
        f"{number}, and config.json's vocab_size is {rows}; resize the model's embeddings "
        "(resize_token_embeddings), or give the tokenizer that belongs to it"
    )


def _check_template(codec: ChatCodec, folder: Path, tasks: Sequence[Task]) -> None:
    """Refuse a template that leaves out messages of a role or at a place; each order of roles is tried once."""

    def render(messages: Messages, tools: Tools) -> str:
        try:
            return codec.prompt_text(messages)
        except Exception as error:  # in its own way, again
            raise ValueError(str(error)) from error

    for roles, task in {tuple(m["role"] for m in task.messages()): task for task in reversed(tasks)}.items():
        if part := left_out(task.messages(), None, (), render):
            raise UserError(
                f"task {task.id!r}: {folder}'s chat template leaves out {part} of its prompt (roles "
                f"{', '.join(roles)}), so that the policy would never read it; give the tokenizer a template that "
                "writes it, or put the text into another message"
            )


@contextmanager
def loading_tokenizer(folder: Path) -> Iterator[None]:
    """Whatever a damaged tokenizer raises, as a `UserError` that names its folder."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a damaged file makes the parsers raise anything, KeyError and TypeError included
        raise UserError(f"{folder}: its tokenizer cannot be loaded: {type(error).__name__}: {error}") from error
