"""Between text and token ids: the only place where a prompt becomes ids and a response becomes text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, GenerationConfig

from buffer.errors import UserError
from buffer.types import Int32, Task


class ChatCodec:
    """The policy's tokenizer and chat template.

    Args:
        policy_dir: the policy's Hugging Face folder.
        stop: further tokens, beside the policy's end tokens, that end a response.
    """

    def __init__(self, policy_dir: Path, stop: Sequence[str] = ()) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(policy_dir)
        if self._tokenizer.chat_template is None:
            raise UserError(f"{policy_dir}: the tokenizer has no chat template; add chat_template.jinja to the folder")
        self.stop_ids: tuple[int, ...] = tuple(sorted({*self._end_ids(policy_dir), *(self._single(s) for s in stop)}))

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
        return ids[0]

    def prompt_ids(self, task: Task) -> Int32:
        """int32[P]: the task's messages through the chat template, with the assistant's turn opened."""
        ids = self._tokenizer.apply_chat_template(task.messages(), add_generation_prompt=True, return_dict=False)
        return np.asarray(ids, dtype=np.int32)

    def response_ids(self, text: str) -> Int32:
        """int32[R]: a response to imitate, closed with the tokenizer's end token."""
        ids = [*self._tokenizer.encode(text, add_special_tokens=False), self._tokenizer.eos_token_id]
        return np.asarray(ids, dtype=np.int32)

    def text(self, response_ids: Int32) -> str:
        """The response as a verifier reads it: special tokens left out."""
        return str(self._tokenizer.decode(response_ids, skip_special_tokens=True))

    @property
    def vocabulary_size(self) -> int:
        return len(self._tokenizer)
