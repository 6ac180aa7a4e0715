"""From a conversation to token ids and which of them the policy has to learn: through its own chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import NoReturn

import numpy as np
import transformers

from reprise.core.errors import UserError
from reprise.core.types import Bool, Int32
from reprise.data.sft.left_out import structure
from reprise.data.sft.records import Record
from reprise.data.sft.settings import Turns
from reprise.data.sft.turns import Conversation, Rendered
from reprise.models.chat import ChatTemplate, Span

_TOKENIZER_SUFFIXES = (".json", ".jinja", ".model", ".txt", ".tiktoken")


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A conversation as the learner takes it.

    ids        int32[T]
    trainable  bool[T]   what the policy itself has to write; the first token never
    """

    ids: Int32
    trainable: Bool


class ConversationCodec:
    """A policy's tokenizer and chat template, for training on conversations.

    What is trained on is exactly what the policy would write when it is sampled: of each assistant turn the tokens
    after the generation prompt, up to and including the token that ends the turn. Text is tokenised in pieces, cut
    where a turn of the assistant begins, as it is when RL samples: the prompt is tokenised before the answer exists.

    Where the template marks assistant tokens with {% generation %}, the marks say what a turn is; else it is found by
    rendering the conversation up to each turn, which must be the beginning of the whole.

    Args:
        tokenizer_folder: the policy's Hugging Face folder.
        turns: `all` assistant turns are trained on, or only the `last`; never those that a record says are not.
        rows: of the policy's embedding; a token whose id is not below it is refused. None: any is taken.
    """

    def __init__(self, tokenizer_folder: Path, turns: Turns = "all", rows: int | None = None) -> None:
        self.folder, self.turns, self.rows = Path(tokenizer_folder), turns, rows
        self._template = ChatTemplate(self.folder)
        self._tokenizer, self._ends = self._template.tokenizer, self._template.ends
        self._left_out: dict[tuple[object, ...], str] = {}  # of conversations by their structure
        # SentencePiece-like tokenizers put a space before any text, so that pieces would not add up to the whole.
        first = self._tokenizer.convert_ids_to_tokens(self._template.ids(["Hi"])[0][0])
        self._in_pieces = not str(first).startswith(("▁", "Ġ"))

    def fingerprint(self) -> str:
        """Changes with anything that tokens depend on: tokenizer, template, end tokens, transformers' version."""
        digest = hashlib.blake2b(transformers.__version__.encode(), digest_size=16)
        for file in sorted(self.folder.iterdir()):
            if file.is_file() and file.suffix in _TOKENIZER_SUFFIXES and not file.name.endswith(".index.json"):
                digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()

    def encode(self, record: Record, where: str = "record") -> Encoded:
        """The record (`data.sft.records.check_record`) as ids. Messages after the last that is trained on are left out.

        Raises UserError, beginning with `where`, if the template refuses the record, rewrites earlier turns, or leaves
        out something that was said.
        """
        return self.encode_many([(record, where)])[0]

    def encode_many(self, records: Sequence[tuple[Record, str]]) -> list[Encoded]:
        """Several records, each with its `where`, as `encode` does; the tokenizer works on them in parallel."""
        rendered = [self._rendered(record, where) for record, where in records]
        pieces = [piece for r in rendered for piece in self._pieces(r)]
        tokens = iter(self._template.ids(pieces) if pieces else [])
        return [self._joined(r, [next(tokens) for _ in range(2 * len(r.spans) + 1)]) for r in rendered]

    def _rendered(self, record: Record, where: str) -> Rendered:
        messages, untrained = record["messages"], record.get("untrained", ())
        turns = [i for i, m in enumerate(messages) if m["role"] == "assistant" and i not in untrained]
        if self.turns == "last":
            turns = turns[-1:]
        conversation = Conversation(self._template, messages[: turns[-1] + 1], record.get("tools"), where)
        rendered = conversation.rendered(turns)
        kind = structure(record)
        if kind not in self._left_out:
            self._left_out[kind] = conversation.left_out(turns)
        if part := self._left_out[kind]:
            raise UserError(
                f"{where}: the chat template of {self.folder} leaves out {part}, so that the policy would not learn "
                f"from it; give the tokenizer a chat template that writes it, or take it out of the record"
            )
        return rendered

    def _pieces(self, rendered: Rendered) -> list[str]:
        """What is tokenised by itself: what lies between the spans' bounds, or what lies before each."""
        text = rendered.text
        bounds = [bound for span in rendered.spans for bound in span]
        if self._in_pieces:
            return [text[a:b] for a, b in pairwise([0, *bounds, len(text)])]
        return [*(text[:bound] for bound in bounds), text]

    def _joined(self, rendered: Rendered, pieces: list[list[int]]) -> Encoded:
        if self._in_pieces:
            ids = list(chain.from_iterable(pieces))
            bounds = list(accumulate(map(len, pieces[:-1])))
        else:
            ids = pieces[-1]
            bounds = [len(piece) for piece in pieces[:-1]]
            if any(ids[: len(piece)] != piece for piece in pieces[:-1]):
                raise UserError(
                    f"{rendered.where}: the tokens before an assistant's turn change with what it says, so that its "
                    "turn has no first token; let its content begin with no white space"
                )
        trainable = np.zeros(len(ids), np.bool_)
        turns = list(zip(bounds[::2], bounds[1::2]))
        for begin, end in turns:
            closed = self._closed(ids, begin, end)
            # A marked turn may come in parts, of which the last is closed.
            if closed is None and not (rendered.marked and (begin, end) != turns[-1]):
                self._unclosed(ids, (begin, end), rendered.where)
            trainable[begin : end if closed is None else closed] = True
        trainable[:1] = False
        if self.rows is not None and max(ids) >= self.rows:
            raise UserError(
                f"{rendered.where}: the token {self._tokenizer.convert_ids_to_tokens(max(ids))!r} has id {max(ids)}, "
                f"for which the policy in {self.folder} has no embedding (vocab_size {self.rows}); resize the model's "
                "embeddings, or give the tokenizer that belongs to it"
            )
        return Encoded(np.asarray(ids, np.int32), trainable)

    def _closed(self, ids: list[int], begin: int, end: int) -> int | None:
        """Where a turn ends: after its last end token, or after one that follows at once; None if there is none."""
        for position in reversed(range(begin, end)):
            if ids[position] in self._ends:
                return position + 1
        return end + 1 if end < len(ids) and ids[end] in self._ends else None

    def _unclosed(self, ids: list[int], bounds: Span, where: str) -> NoReturn:
        written = self._tokenizer.decode(ids[max(bounds[0], bounds[1] - 4) : bounds[1] + 1])
        known = ", ".join(map(repr, self._tokenizer.convert_ids_to_tokens(sorted(self._ends)))) or "none"
        raise UserError(
            f"{where}: the assistant's turn ends with {written!r}, in which there is no end token of {self.folder} "
            f"({known}), so that sampling would never stop; set eos_token in generation_config.json to the token with "
            "which the chat template ends a turn"
        )
