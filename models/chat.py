"""A policy's chat template: loaded, applied and asked for its end tokens in one place, for sampling and for training.

Text becomes token ids here in the same way for both, so that a policy is sampled from the prompts it is trained on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig
from transformers.utils.chat_template_utils import render_jinja_template

from reprise.core.errors import UserError

_GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]] | None  # JSON schemas
Span = tuple[int, int]


class ChatTemplate:
    """A policy's tokenizer with its chat template. UserError if it has none.

    folder     the policy's Hugging Face folder
    tokenizer  of transformers
    ends       ids of the tokens that end a response, as vLLM and transformers use them: the tokenizer's end token and
               those of generation_config.json
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if self.tokenizer.chat_template is None:
            raise UserError(f"{folder}: the tokenizer has no chat template; add chat_template.jinja to the folder")
        self.ends = self._end_ids()

    def _end_ids(self) -> frozenset[int]:
        ends = {self.tokenizer.eos_token_id}
        if (self.folder / "generation_config.json").exists():
            try:
                eos = GenerationConfig.from_pretrained(self.folder).eos_token_id
            except Exception as error:  # a damaged file makes its reader raise anything
                raise UserError(f"{self.folder}/generation_config.json cannot be read: {error}") from error
            ends |= set(eos) if isinstance(eos, list) else {eos}
        return frozenset(ends - {None})

    def marks_turns(self, tools: Tools = None) -> bool:
        """Whether the template marks what the assistant writes with {% generation %}."""
        return bool(_GENERATION.search(self.tokenizer.get_chat_template(None, tools)))

    def text(self, messages: Messages, tools: Tools = None, prompt: bool = False) -> str:
        """What the template makes of a conversation; `prompt`: with the assistant's next turn opened.

        A template is a program, and refuses messages by exceptions of its own.
        """
        return self.texts([messages], tools, prompt)[0]

    def texts(self, conversations: Sequence[Messages], tools: Tools = None, prompt: bool = False) -> list[str]:
        """The same of several."""
        return self._rendered(conversations, tools, prompt, marks=False)[0]

    def marked_text(self, messages: Messages, tools: Tools = None) -> tuple[str, list[Span]]:
        """The text, and the spans (in characters) that the template marks as the assistant's."""
        texts, spans = self._rendered([messages], tools, prompt=False, marks=True)
        return texts[0], spans[0]

    def _rendered(
        self, conversations: Sequence[Messages], tools: Tools, prompt: bool, marks: bool
    ) -> tuple[list[str], list[list[Span]]]:
        given: dict[str, Any] = {"conversations": conversations, "tools": tools, **self.tokenizer.special_tokens_map}
        rendered: Any = render_jinja_template(
            chat_template=self.tokenizer.get_chat_template(None, tools),
            return_assistant_tokens_mask=marks,
            add_generation_prompt=prompt,
            **given,
        )
        texts: list[str]
        spans: list[list[Span]]
        texts, spans = rendered
        return texts, spans

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text; a template writes special tokens itself."""
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return ids
