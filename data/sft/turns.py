"""Where the assistant's turns lie in the text that a chat template makes of a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from reprise.core.errors import UserError
from reprise.data.sft.left_out import left_out
from reprise.data.sft.records import Message, Tool
from reprise.models.chat import ChatTemplate, Span

_WAYS_OUT = (
    "set `turns: last`, split the conversation into one record for each assistant turn, or give the tokenizer a chat "
    "template that marks assistant tokens with {% generation %}"
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation's text.

    spans   where (in characters) what the assistant wrote lies in it: ascending and apart
    marked  whether the template itself marked them; then a turn may come in several spans
    where   the record's place, for errors
    """

    text: str
    spans: list[Span]
    marked: bool
    where: str


class Conversation:
    """One record's messages, the last of which is the assistant's, and the text that the template makes of them."""

    def __init__(self, template: ChatTemplate, messages: list[Message], tools: list[Tool] | None, where: str) -> None:
        self._template, self._messages, self._tools, self._where = template, messages, tools, where

    def rendered(self, turns: Sequence[int]) -> Rendered:
        """The whole text, with the turns of the assistant that these messages are, ascending, the last message among
        them. UserError if they cannot be found."""
        marked = self._template.marks_turns(self._tools)
        text, spans = self._by_marks(turns) if marked else self._by_beginnings(turns)
        return Rendered(text, spans, marked, self._where)

    def left_out(self, turns: Sequence[int]) -> str:
        """The first part of the conversation that the template leaves out, if it does (`data.sft.left_out`)."""

        return left_out(self._messages, self._tools, turns, self._text)

    def _by_beginnings(self, turns: Sequence[int]) -> tuple[str, list[Span]]:
        text = self._text(self._messages, self._tools)
        return text, [self._span(text, i) for i in turns]

    def _span(self, text: str, i: int) -> Span:
        """Where message i lies in the whole text."""
        prompt = self._text(self._messages[:i], self._tools, prompt=True)
        upto = text if i == len(self._messages) - 1 else self._text(self._messages[: i + 1], self._tools)
        if not (text.startswith(prompt) and text.startswith(upto) and upto.startswith(prompt)):
            self._rewritten(i)
        return len(prompt), len(upto)

    def _by_marks(self, turns: Sequence[int]) -> tuple[str, list[Span]]:
        with self._refusing():
            text, marked = self._template.marked_text(self._messages, self._tools)
        last = len(self._messages) - 1
        prompt = self._text(self._messages[:last], self._tools, prompt=True)
        if not text.startswith(prompt):
            self._rewritten(last)
        spans: list[Span] = []
        for begin, end in marked:
            if spans and spans[-1][1] == begin:
                spans[-1] = (spans[-1][0], end)
            elif end > begin:
                spans.append((begin, end))
        final = next((span for span in spans if span[1] > len(prompt)), None)
        if final is None or final[0] > len(prompt):
            raise UserError(
                f"{self._where}: messages[{last}]: the chat template's {{% generation %}} block does not begin where "
                "its generation prompt ends, so that the policy would be sampled otherwise than it is trained; let the "
                "block hold all that follows the generation prompt"
            )
        # A block may hold the header too, which the generation prompt writes: it is not the policy's.
        header = text[final[0] : len(prompt)]
        if len(turns) == 1:
            spans = [span for span in spans if span[0] >= final[0]]
        else:
            others = [i for i, m in enumerate(self._messages) if m["role"] == "assistant" and i not in turns]
            for begin, end in [self._span(text, i) for i in others]:
                spans = [span for span in spans if span[1] <= begin or span[0] >= end]
        return text, [(begin + len(header) * text.startswith(header, begin), end) for begin, end in spans]

    def _text(self, messages: list[Message], tools: list[Tool] | None, prompt: bool = False) -> str:
        with self._refusing():
            return self._template.text(messages, tools, prompt)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a template is a program and refuses messages in its own ways
            raise UserError(f"{self._where}: the chat template refuses the conversation: {error}") from error

    def _rewritten(self, i: int) -> NoReturn:
        what = (
            "the chat template writes the conversation up to here otherwise than when more follows (as templates do "
            "that leave out the reasoning of earlier turns), so that what the policy would write is not in it; "
            f"{_WAYS_OUT}"
            if i < len(self._messages) - 1
            else "the chat template does not begin this turn with its generation prompt, so that the policy would be "
            "sampled from another prompt than it is trained on; give the tokenizer a chat template that does"
        )
        raise UserError(f"{self._where}: messages[{i}] (assistant): {what}")
