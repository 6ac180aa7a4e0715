"""Tokenised records in Arrow's format: written once, one after the other, then read through a memory map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reprise.core.files import draft_of, mode_of_new_files
from reprise.core.types import Int32
from reprise.data.sft.reading import Place
from reprise.data.sft.rendering import Encoded

_SCHEMA = pa.schema(
    [
        ("ids", pa.list_(pa.int32())),
        ("trainable", pa.list_(pa.bool_())),
        ("length", pa.int32()),
        ("file", pa.int32()),
        ("number", pa.int64()),
        ("digest", pa.binary(16)),
    ]
)


@dataclass(frozen=True, slots=True)
class Row:
    """A tokenised record, where it was read, and what its messages are recognised by."""

    encoded: Encoded
    place: Place
    digest: bytes


class Store:
    """All records of a source, in its order."""

    def __init__(self, table: pa.Table) -> None:
        self._batches = table.to_batches()
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])
        self.lengths: Int32 = self._column(table, "length").astype(np.int32)
        self._places = np.stack([self._column(table, "file"), self._column(table, "number")], axis=1)
        self._table = table

    @staticmethod
    def _column(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
        values: npt.NDArray[np.int64] = table.column(name).to_numpy().astype(np.int64)
        return values

    def __len__(self) -> int:
        return len(self.lengths)

    def encoded(self, i: int) -> Encoded:
        batch = int(np.searchsorted(self._ends, i, side="right"))
        row = i - (int(self._ends[batch - 1]) if batch else 0)
        ids, trainable = (self._batches[batch].column(name)[row].values for name in ("ids", "trainable"))
        return Encoded(ids.to_numpy(), trainable.to_numpy(zero_copy_only=False))

    def place(self, i: int) -> Place:
        return Place(*map(int, self._places[i]))

    def digests(self) -> list[bytes]:
        digests: list[bytes] = self._table.column("digest").to_pylist()
        return digests


def write(parts: Iterable[list[Row]], path: Path | None) -> Store:
    """The store of all rows, batch by batch: in a file that has its name only when it is whole, or in memory."""
    if path is None:
        sink = pa.BufferOutputStream()
        _write(parts, sink)
        return Store(pa.ipc.open_stream(sink.getvalue()).read_all())
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft:
        with pa.OSFile(str(draft), "wb") as sink:
            _write(parts, sink)
        mode_of_new_files(draft)  # Arrow makes files for their owner alone
    return opened(path)


def opened(path: Path) -> Store:
    """A store that was written before, mapped into memory."""
    return Store(pa.ipc.open_stream(pa.memory_map(str(path))).read_all())


def _write(parts: Iterable[list[Row]], sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        for rows in parts:
            columns = [
                pa.array([row.encoded.ids for row in rows], _SCHEMA.field("ids").type),
                pa.array([row.encoded.trainable for row in rows], _SCHEMA.field("trainable").type),
                pa.array([len(row.encoded.ids) for row in rows], pa.int32()),
                pa.array([row.place.file for row in rows], pa.int32()),
                pa.array([row.place.number for row in rows], pa.int64()),
                pa.array([row.digest for row in rows], pa.binary(16)),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
