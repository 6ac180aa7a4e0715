"""Between text and token ids: the only place where a prompt becomes ids and a response becomes text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from transformers import AutoTokenizer, GenerationConfig

from reprise.core.errors import UserError
from reprise.core.types import Int32, Task

# Reasoning that a generation prompt has opened and the response must close (Motif-2 and others).
_OPENED = re.compile(r"<think>\s*\Z")
_OPENING, _CLOSING = "<think>", "</think>"
# Decoded even where a tokenizer calls them special: without them no verifier would find the end of the reasoning.
_VISIBLE = frozenset({_OPENING, _CLOSING, "<tool_call>", "</tool_call>"})
_BATCH = 1000  # prompts rendered at once
_TAIL = 16  # tokens at a prompt's end that surely hold an opened `<think>`, also where it is no single token


class ChatCodec:
    """The policy's tokenizer and chat template.

    Args:
        policy_dir: the policy's Hugging Face folder.
        stop: further tokens, beside the policy's end tokens, that end a response.
    """

    def __init__(self, policy_dir: Path, stop: Sequence[str] = ()) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(policy_dir, local_files_only=True, trust_remote_code=False)
        if self._tokenizer.chat_template is None:
            raise UserError(f"{policy_dir}: the tokenizer has no chat template; add chat_template.jinja to the folder")
        self._ends = self._end_ids(policy_dir)
        self.stop_ids: tuple[int, ...] = tuple(sorted({*self._ends, *(self._single(s) for s in stop)}))
        self._left_out = np.asarray(sorted(self._special_ids()), dtype=np.int32)

    def _special_ids(self) -> set[int]:
        added = self._tokenizer.added_tokens_decoder
        special = {i for i, token in added.items() if token.special} | set(self._tokenizer.all_special_ids)
        return special - {i for i, token in added.items() if token.content in _VISIBLE}

    def _end_ids(self, policy_dir: Path) -> set[int]:
        """The tokenizer's end token and those of generation_config.json, as vLLM and transformers use them."""
        ends = {self._tokenizer.eos_token_id} - {None}
        if (policy_dir / "generation_config.json").exists():
            eos = GenerationConfig.from_pretrained(policy_dir).eos_token_id
            ends |= set(eos) if isinstance(eos, list) else {eos} - {None}
        if not ends:
            raise UserError(f"{policy_dir}: the policy names no end token (eos_token); a response could never end")
        return ends

    def _single(self, text: str) -> int:
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        if len(ids) != 1:
            raise UserError(f"rollout.stop: {text!r} is {len(ids)} tokens of this tokenizer; it must be one")
        return int(ids[0])

    def prompt_ids(self, task: Task) -> Int32:
        """int32[P]: the task's messages through the chat template, with the assistant's turn opened."""
        ids = self._tokenizer.apply_chat_template(task.messages(), add_generation_prompt=True, return_dict=False)
        return np.asarray(ids, dtype=np.int32)

    def longer_prompts(self, tasks: Sequence[Task], room: int) -> Iterator[tuple[Task, int]]:
        """The tasks whose prompts have more than `room` tokens, with their numbers of tokens.

        Every prompt is rendered, but only those are tokenized that could be too long: 100,000 tasks of 360 characters
        take 1.5 s of a core, and where all of them could be too long 19 s.
        """
        for some in (tasks[i : i + _BATCH] for i in range(0, len(tasks), _BATCH)):
            asked = [task.messages() for task in some]
            texts = self._tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
            long = [(task, text) for task, text in zip(some, texts, strict=True) if self._most_tokens(text) > room]
            if long:
                ids = self._tokenizer([text for _, text in long], add_special_tokens=False, verbose=False)["input_ids"]
                yield from ((task, len(of)) for (task, _), of in zip(long, ids, strict=True) if len(of) > room)

    def _most_tokens(self, text: str) -> float:
        """No token is less than a byte of the normalised text, save a space that some tokenizers put before it."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return math.inf
        return len((backend.normalizer.normalize_str(text) if backend.normalizer else text).encode()) + 1

    def response_ids(self, text: str) -> Int32:
        """int32[R]: a response to imitate, closed with the token with which the chat template ends a turn.

        Where the generation prompt opens the reasoning, a response starts within it: a `<think>` that the text begins
        with is left out. Raises UserError if the text never closes the reasoning then.
        """
        if self._opened:
            if _CLOSING not in text:
                raise UserError(
                    f"a response to imitate never closes the reasoning that the chat template opens with {_OPENING}: "
                    f"{text[:60]!r}; write {_OPENING}...{_CLOSING} and then the answer"
                )
            text = _without_opening(text, self._opened)
        ids = [*self._tokenizer.encode(text, add_special_tokens=False), self._end_of_turn]
        return np.asarray(ids, dtype=np.int32)

    def text(self, prompt_ids: Int32, response_ids: Int32) -> str:
        """The response as a verifier reads it: special tokens left out, reasoning that the prompt has opened put back.

        So reasoning that never ends is seen to be none of the answer, whoever opened it.
        """
        opened = _OPENED.search(self._tokenizer.decode(prompt_ids[-_TAIL:]))
        read = response_ids[~np.isin(response_ids, self._left_out)]
        return (opened[0] if opened else "") + str(self._tokenizer.decode(read))

    @cached_property
    def _opened(self) -> str:
        """What the generation prompt opens the reasoning with, white space after it included; empty if it does not."""
        asked = [{"role": "user", "content": "?"}]
        opened = _OPENED.search(self._tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
        return opened[0] if opened else ""

    @cached_property
    def _end_of_turn(self) -> int:
        """The end token that the chat template writes after an answer; the tokenizer's own if it writes none."""
        answer = "reprise"
        pair = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
        try:
            _, found, after = self._tokenizer.apply_chat_template(pair, tokenize=False).rpartition(answer)
        except jinja2.TemplateError:  # a template may refuse an answer without reasoning
            found = ""
        written = self._tokenizer.encode(after, add_special_tokens=False) if found else []
        own = self._tokenizer.eos_token_id
        return next((token for token in written if token in self._ends), min(self._ends) if own is None else own)

    def prompt_text(self, messages: Sequence[object]) -> str:
        """What `prompt_ids` are the tokens of."""
        return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def tokens_from(self, first: int) -> dict[str, int]:
        """The tokens whose ids are not below `first`."""
        return {token: i for token, i in self._tokenizer.get_vocab().items() if i >= first}

    def was_added(self, token: int) -> bool:
        """Whether the token stands beside the vocabulary that the tokenizer was trained with; then it is its text."""
        return token in self._tokenizer.added_tokens_decoder


def _without_opening(text: str, opened: str) -> str:
    """A response without the `<think>` that it begins with, nor the white space that the prompt has after it."""
    start = text.lstrip()
    if not start.startswith(_OPENING):
        return text
    return start.removeprefix(opened) if start.startswith(opened) else start.removeprefix(_OPENING)
