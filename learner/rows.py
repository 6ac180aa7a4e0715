"""A micro-batch as tensors: documents packed into one row of tokens, and a sequence-parallel rank's share of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from reprise.core.types import Int32
from reprise.learner.packing import Document, row_length

# Largest share of padding in one of `RowLayout.rectangles`, and tokens of padding that cost less than another call.
_RECTANGLE_PADDING = 0.125
_FREE_PADDING = 1024


@dataclass(eq=False)
class RowLayout:
    """Where the documents of a whole row lie, for attention that must keep them apart.

    lengths      tokens of each document, in the order of the row; they sum to T, padding being a document of its own
    device       where the tensors below are made
    """

    lengths: list[int]
    device: torch.device

    @cached_property
    def boundaries(self) -> torch.Tensor:
        """int32[B + 1]: where documents begin and end, as variable-length kernels want it (`cu_seqlens`)."""
        return torch.tensor([0, *np.cumsum(self.lengths)], dtype=torch.int32, device=self.device)

    @cached_property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def document_of(self) -> torch.Tensor:
        """int64[T]: the number of each token's document."""
        return torch.arange(len(self.lengths), device=self.device).repeat_interleave(
            torch.tensor(self.lengths, device=self.device)
        )

    @cached_property
    def rectangles(self) -> list[torch.Tensor]:
        """int64[b, L] each: documents of like length as right-padded rows of positions, in the order of `order`.

        A padded place holds the document's last position: causal attention never looks to the right, and what is
        computed there is thrown away.
        """
        starts = np.cumsum(self.lengths) - self.lengths
        made = []
        for group in self._groups:
            width = self.lengths[group[0]]
            last = np.asarray([self.lengths[i] - 1 for i in group])
            made.append(starts[group][:, None] + np.minimum(np.arange(width), last[:, None]))
        return [torch.from_numpy(r.astype(np.int64)).to(self.device) for r in made]

    @cached_property
    def slots(self) -> torch.Tensor:
        """int64[T]: where all rectangles, flattened one after the other, hold each token of the row."""
        slots: list[np.ndarray] = [np.zeros(0)] * len(self.lengths)
        begin = 0
        for group in self._groups:
            width = self.lengths[group[0]]
            for line, i in enumerate(group):
                slots[i] = begin + line * width + np.arange(self.lengths[i])
            begin += len(group) * width
        return torch.from_numpy(np.concatenate(slots).astype(np.int64)).to(self.device)

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Documents longest first, cut wherever one more would make the padding too much."""
        groups: list[list[int]] = []
        tokens = 0
        for i in sorted(range(len(self.lengths)), key=lambda i: (-self.lengths[i], i)):
            tokens += self.lengths[i]
            area = (len(groups[-1]) + 1) * self.lengths[groups[-1][0]] if groups else 0
            if not groups or area - tokens > max(_RECTANGLE_PADDING * area, _FREE_PADDING):
                groups.append([])
                tokens = self.lengths[i]
            groups[-1].append(i)
        return groups


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """A sequence-parallel rank's share of a row: t = T / sequence_parallel tokens, m of the row's M targets.

    input_ids, position_ids  int64[1, t]  positions start at 0 in each document
    predictors               int64[m]     positions in this share whose hidden state predicts a target
    targets                  int64[m]     the tokens they predict, document by document
    documents                int64[m]     the document (0..B-1 of the row) of each
    held                     which of the row's M targets these are: they are consecutive
    layout                   of the whole row
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    predictors: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor
    held: slice
    layout: RowLayout


def pack(documents: Sequence[Document], device: torch.device, rank: int = 0, ranks: int = 1) -> MicroBatch:
    """The share of sequence-parallel rank `rank` of `ranks` in the row of these documents.

    Targets belong to the token they are predicted from ("shift, then shard"), so that no rank needs another's labels.
    """
    none = np.zeros(0, np.int32)
    tokens: list[Int32] = [d.tokens[: d.length] for d in documents]
    total = row_length([len(t) for t in tokens], ranks)
    if padding := total - sum(map(len, tokens)):
        tokens.append(np.zeros(padding, np.int32))
    lengths = [len(t) for t in tokens]
    starts = np.cumsum(lengths) - lengths
    predictors = np.concatenate([none, *(d.targets + start - 1 for start, d in zip(starts, documents))])
    targets = np.concatenate([none, *(d.tokens[d.targets] for d in documents)])
    owners = np.repeat(np.arange(len(documents)), [len(d.targets) for d in documents])

    share = total // ranks
    first = rank * share
    held = slice(*(int(i) for i in np.searchsorted(predictors, [first, first + share])))
    cut = slice(first, first + share)

    def to(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x.astype(np.int64)).to(device)

    return MicroBatch(
        input_ids=to(np.concatenate(tokens)[cut][None]),
        position_ids=to(np.concatenate([np.arange(n) for n in lengths])[cut][None]),
        predictors=to(predictors[held] - first),
        targets=to(targets[held]),
        documents=to(owners[held]),
        held=held,
        layout=RowLayout(lengths, device),
    )
