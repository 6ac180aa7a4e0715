"""Records from JSONL, Parquet, Arrow or a generator, one by one, each with its place; nothing is held in memory."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import datasets
import pyarrow

from reprise.core.errors import UserError
from reprise.core.files import check_may_be_reached
from reprise.core.json_lines import lines_of, parse_line
from reprise.core.plugins import resolve
from reprise.data.sft.records import Record, check_record
from reprise.data.sft.settings import EvalSource

# Kinds of files; a folder may hold other JSON than records.
_IN_FOLDERS = (".jsonl", ".parquet", ".arrow")
_SUFFIXES = (*_IN_FOLDERS, ".json")
# Column stores, whose records are rows.
_ROWS = (".parquet", ".arrow")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: in which of the source's files and on which line or row (from 1)."""

    file: int
    number: int

    def words(self, source: EvalSource, files: list[Path]) -> str:
        """As error messages name it."""
        if not files:
            return f"{source.generator}({source.args}), record {self.number}"
        file = files[self.file]
        return f"{file}, row {self.number}" if file.suffix in _ROWS else f"{file}:{self.number}"


def files_of(source: EvalSource) -> list[Path]:
    """The files of a source, sorted; none for a generator. UserError if there are none, or of another kind."""
    if source.path is None:
        return []
    path = Path(source.path)
    check_may_be_reached(path)
    if path.is_dir():
        # HF `datasets` keeps results of its own beside a saved data set.
        shards = (p for p in path.rglob("*") if p.suffix in _IN_FOLDERS and not p.name.startswith("cache-"))
        found = sorted(p for p in shards if p.is_file())
        if not found:
            raise UserError(f"source {source.name}: the folder {path} holds no {' or '.join(_IN_FOLDERS)} file")
        return found
    found = (
        [path] if path.is_file() else sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())
    )
    if not found:
        raise UserError(
            f"source {source.name}: {source.path}: no such file or folder, and nothing matches it as a pattern; paths "
            "are relative to the folder the run is started in"
        )
    for file in found:
        if file.suffix not in _SUFFIXES:
            raise UserError(f"source {source.name}: {file} ends in none of {', '.join(_SUFFIXES)}")
    return found


def check_records(sources: Sequence[EvalSource]) -> None:
    """Refuse the first broken record of any file, and a generator whose first one is; no policy is needed to tell.

    Files are read twice, then: parsing takes a small part of the time that tokenising does.
    """
    for source in sources:
        files = files_of(source)
        for _ in islice(read(source, files), None if files else 1):
            pass


def read(source: EvalSource, files: list[Path]) -> Iterator[tuple[Place, Record]]:
    """Every record of a source, checked. Raises UserError that names file, line or row, key and what would be right."""
    if not files:
        yield from _generated(source)
    for index, file in enumerate(files):
        rows = _rows(file) if file.suffix in _ROWS else _jsonl(file)
        for number, value in rows:
            place = Place(index, number)
            yield place, check_record(value, place.words(source, files), padded=file.suffix in _ROWS)


def _generated(source: EvalSource) -> Iterator[tuple[Place, Record]]:
    generator = resolve(str(source.generator), f"generator of source {source.name}")
    try:
        records = iter(generator(**source.args))
    except TypeError as error:
        raise UserError(f"source {source.name}: {source.generator}({source.args}): {error}") from error
    for number, value in enumerate(records, 1):
        place = Place(0, number)
        yield place, check_record(value, place.words(source, []))


def _jsonl(file: Path) -> Iterator[tuple[int, object]]:
    """Read line by line ourselves: HF's JSON loader names no lines and gives every object the keys of all."""
    for number, line in lines_of(file):
        yield number, parse_line(line, f"{file}:{number}")


def _rows(file: Path) -> Iterator[tuple[int, object]]:
    """Through HF `datasets`, which knows its own column types (JSON columns, lists of objects)."""
    try:
        rows: Iterable[object] = (
            datasets.Dataset.from_file(str(file))
            if file.suffix == ".arrow"
            else datasets.load_dataset("parquet", data_files=glob.escape(str(file)), split="train", streaming=True)
        )
        yield from enumerate(rows, 1)
    except (OSError, pyarrow.ArrowException, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{file}: not a {file.suffix[1:]} file that can be read: {str(error).splitlines()[0]}"
        ) from None
