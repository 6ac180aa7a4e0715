"""From the sources of a recipe to tokenised records whose lengths are known, before anything is started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from reprise.core.errors import UserError
from reprise.core.types import Int32
from reprise.data.sft import store
from reprise.data.sft.reading import Place, files_of, read
from reprise.data.sft.records import messages_digest
from reprise.data.sft.rendering import ConversationCodec, Encoded
from reprise.data.sft.settings import EvalSource, Overlong
from reprise.data.sft.store import Row, Store

# Records tokenised at once, in parallel; also what one progress report is about.
_PART = 128
# Part of a cached file's name: raise it when tokenised records would come out otherwise.
_VERSION = 2

Progress = Callable[[str, int, int], None]  # source name, records, tokens so far


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedSource:
    """A source's records, tokenised.

    lengths   int32[N]  tokens of each
    too_long  records left out because they are longer than the longest context (`overlong: drop`)
    held_out  records left out because their messages are also an evaluation record's
    """

    name: str
    domain: str
    lengths: Int32
    too_long: int
    held_out: int
    _store: Store = field(repr=False)
    _kept: npt.NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, i: int) -> Encoded:
        return self._store.encoded(int(self._kept[i]))

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum(dtype=np.int64))

    def digests(self) -> list[bytes]:
        """What the messages of each record are recognised by."""
        digests = self._store.digests()
        return [digests[i] for i in self._kept]


def load_sources(
    sources: Sequence[EvalSource],
    codec: ConversationCodec,
    longest_context: int,
    *,
    overlong: Overlong = "error",
    held_out: frozenset[bytes] = frozenset(),
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> list[TokenizedSource]:
    """Reads, checks and tokenises every source.

    overlong     what becomes of a record longer than `longest_context`: refused, or left out and counted
    held_out     digests of evaluation records (`digests_of`), which are left out and counted
    cache        folder of tokenised files, used again while file, tokenizer and template are the same; null: in memory
    on_progress  called now and then, and at the end of each source

    Raises UserError, one line that names the place, for the first broken or too long record, and for an empty source.
    """
    loaded = []
    for source in sources:
        files = files_of(source)
        reader = _Reader(source, files, codec, longest_context if overlong == "error" else None, held_out, on_progress)
        path = cache / f"{source.name}-{_key(files, codec)}.arrow" if cache is not None and files else None
        stored = store.opened(path) if path is not None and path.exists() else store.write(reader.parts(), path)
        loaded.append(reader.chosen(stored, longest_context))
    return loaded


def digests_of(sources: Sequence[TokenizedSource]) -> frozenset[bytes]:
    """What the records of evaluation sources are recognised by, to hold them out of training."""
    return frozenset(digest for source in sources for digest in source.digests())


@dataclass(frozen=True, slots=True)
class _Reader:
    """One source on its way from files to chosen records. `limit`: tokens beyond which a record is refused."""

    source: EvalSource
    files: list[Path]
    codec: ConversationCodec
    limit: int | None
    held_out: frozenset[bytes]
    on_progress: Progress | None

    def parts(self) -> Iterator[list[Row]]:
        """All records, tokenised part by part; the first that is too long is refused at once."""
        records = read(self.source, self.files)
        done = tokens = 0
        while part := list(islice(records, _PART)):
            encoded = self.codec.encode_many([(record, self._words(place)) for place, record in part])
            rows = [Row(e, place, messages_digest(record)) for e, (place, record) in zip(encoded, part)]
            for row in rows:
                if self.limit is not None and len(row.encoded.ids) > self.limit and row.digest not in self.held_out:
                    self._refuse(row.place, len(row.encoded.ids))
            done += len(rows)
            tokens += sum(len(e.ids) for e in encoded)
            if self.on_progress is not None:
                self.on_progress(self.source.name, done, tokens)
            yield rows

    def chosen(self, stored: Store, longest: int) -> TokenizedSource:
        """What of a store is trained on."""
        free = np.ones(len(stored), np.bool_)
        if self.held_out:
            free = np.asarray([digest not in self.held_out for digest in stored.digests()], np.bool_)
        fits = stored.lengths <= longest
        if self.limit is not None and (free & ~fits).any():
            first = int(np.argmax(free & ~fits))
            self._refuse(stored.place(first), int(stored.lengths[first]))
        kept = np.flatnonzero(free & fits)
        too_long, held_out = int((free & ~fits).sum()), int((~free).sum())
        if not len(kept):
            why = f"{held_out} are held out for evaluation, {too_long} are longer than the context of {longest} tokens"
            raise UserError(
                f"source {self.source.name} has no record to use: "
                + (f"of its {len(stored)} records {why}" if len(stored) else "it is empty")
            )
        return TokenizedSource(
            self.source.name, self.source.counted_as, stored.lengths[kept], too_long, held_out, stored, kept
        )

    def _refuse(self, place: Place, tokens: int) -> NoReturn:
        raise UserError(
            f"{self._words(place)}: the conversation has {tokens} tokens, but the longest context it is used in has "
            f"{self.limit}; raise that to at least {tokens}, shorten the conversation, or leave such records out "
            "(counted) with `overlong: drop`"
        )

    def _words(self, place: Place) -> str:
        return place.words(self.source, self.files)


def _key(files: Sequence[Path], codec: ConversationCodec) -> str:
    """What tokenised files depend on: the files as they are now, tokenizer and template, which turns, and this code."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    text = json.dumps([_VERSION, stats, codec.fingerprint(), codec.turns, codec.rows])
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
