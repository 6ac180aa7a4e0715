"""Between text and token ids when sampling: a task's prompt, and a response as a verifier reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from reprise.core.errors import UserError
from reprise.core.types import Int32, Task
from reprise.models.chat import ChatTemplate, Messages

# Reasoning that a generation prompt has opened and the response must close (Motif-2 and others).
_OPENED = re.compile(r"<think>\s*\Z")
# Decoded even where a tokenizer calls them special: without them no verifier would find the end of the reasoning.
_VISIBLE = frozenset({"<think>", "</think>", "<tool_call>", "</tool_call>"})
_BATCH = 1000  # prompts rendered at once
_TAIL = 16  # tokens at a prompt's end that surely hold an opened `<think>`, also where it is no single token


class ChatCodec:
    """The policy's tokenizer and chat template.

    Args:
        policy_dir: the policy's Hugging Face folder.
        stop: further tokens, beside the policy's end tokens, that end a response.
    """

    def __init__(self, policy_dir: Path, stop: Sequence[str] = ()) -> None:
        self._template = ChatTemplate(policy_dir)
        self._tokenizer = self._template.tokenizer
        if not self._template.ends:
            raise UserError(f"{policy_dir}: the policy names no end token (eos_token); a response could never end")
        self.stop_ids: tuple[int, ...] = tuple(sorted({*self._template.ends, *map(self._single, stop)}))
        self._left_out = np.asarray(sorted(self._special_ids()), dtype=np.int32)

    def _special_ids(self) -> set[int]:
        added = self._tokenizer.added_tokens_decoder
        special = {i for i, token in added.items() if token.special} | set(self._tokenizer.all_special_ids)
        return special - {i for i, token in added.items() if token.content in _VISIBLE}

    def _single(self, text: str) -> int:
        (ids,) = self._template.ids([text])
        if len(ids) != 1:
            raise UserError(f"rollout.stop: {text!r} is {len(ids)} tokens of this tokenizer; it must be one")
        return ids[0]

    def prompt_text(self, messages: Messages) -> str:
        """Messages through the chat template, with the assistant's turn opened."""
        return self._template.text(messages, prompt=True)

    def prompt_ids(self, task: Task) -> Int32:
        """int32[P]: the tokens of the task's `prompt_text`."""
        return np.asarray(self._template.ids([self.prompt_text(task.messages())])[0], dtype=np.int32)

    def longer_prompts(self, tasks: Sequence[Task], room: int) -> Iterator[tuple[Task, int]]:
        """The tasks whose prompts have more than `room` tokens, with their numbers of tokens.

        Every prompt is rendered, but only those are tokenized that could be too long: 100,000 tasks of 360 characters
        take 1.5 s of a core, and where all of them could be too long 19 s.
        """
        for some in (tasks[i : i + _BATCH] for i in range(0, len(tasks), _BATCH)):
            texts = self._template.texts([task.messages() for task in some], prompt=True)
            long = [(task, text) for task, text in zip(some, texts, strict=True) if self._most_tokens(text) > room]
            if long:
                ids = self._template.ids([text for _, text in long])
                yield from ((task, len(of)) for (task, _), of in zip(long, ids, strict=True) if len(of) > room)

    def _most_tokens(self, text: str) -> float:
        """No token is less than a byte of the normalised text, save a space that some tokenizers put before it."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return math.inf
        return len((backend.normalizer.normalize_str(text) if backend.normalizer else text).encode()) + 1

    def text(self, prompt_ids: Int32, response_ids: Int32) -> str:
        """The response as a verifier reads it: special tokens left out, reasoning that the prompt has opened put back.

        So reasoning that never ends is seen to be none of the answer, whoever opened it.
        """
        opened = _OPENED.search(self._tokenizer.decode(prompt_ids[-_TAIL:]))
        read = response_ids[~np.isin(response_ids, self._left_out)]
        return (opened[0] if opened else "") + str(self._tokenizer.decode(read))

    def tokens_from(self, first: int) -> dict[str, int]:
        """The tokens whose ids are not below `first`."""
        return {token: i for token, i in self._tokenizer.get_vocab().items() if i >= first}

    def was_added(self, token: int) -> bool:
        """Whether the token stands beside the vocabulary that the tokenizer was trained with; then it is its text."""
        return token in self._tokenizer.added_tokens_decoder
