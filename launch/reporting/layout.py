"""Tables and lists that can be read at any width: on a terminal of 60 columns, on one of 200, and in a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# Columns beside a live display that stay free: a terminal echoes ^C after its last character, which must not begin a
# new line, or the display is drawn again one line too low.
FREE = 4
_LEAST = 20  # columns; what says that it has fewer, says nothing
_RAGGED = 30  # columns for prose in a table, which may break anywhere


def console(stream: TextIO | None = None, log_width: int = 120) -> Console:
    """Where a command prints. A log or file, which has no width, gets lines of `log_width` columns at most."""
    stream = stream or sys.stdout
    columns = os.environ.get("COLUMNS", "")
    asked = int(columns) if columns.isdecimal() and int(columns) >= _LEAST else 0
    if not stream.isatty():
        return Console(file=stream, force_terminal=False, color_system=None, width=asked or log_width)
    own = Console(file=stream)
    return own if own.width >= _LEAST else Console(file=stream, width=80)


class Flow:
    """Short texts beside one another; a line ends between two of them, not within one."""

    def __init__(self, parts: Iterable[str], style: str = "", indent: int = 0) -> None:
        self._parts, self._style, self._indent = [part for part in parts if part], style, indent

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = [cell_len(part) for part in self._parts] or [0]
        whole = self._indent + sum(widths) + 2 * (len(widths) - 1)
        return Measurement(min(self._indent + max(widths), options.max_width), min(whole, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines(options.max_width - self._indent):
            for piece in Text(line, self._style).wrap(console, max(1, options.max_width - self._indent)):
                yield Text(" " * self._indent).append_text(piece)

    def _lines(self, width: int) -> Iterator[str]:
        line = ""
        for part in self._parts:
            longer = f"{line}  {part}" if line else part
            if line and cell_len(longer) > width:
                yield line
                longer = part
            line = longer
        yield line


class Fitted:
    """A table where it fits whole, and something narrower where it does not: by default its rows, one after another."""

    def __init__(self, table: Table, narrow: RenderableType | None = None) -> None:
        self._table, self._narrow = table, narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if _needed(self._table, console, options) <= options.max_width:
            yield self._table
        elif self._narrow is not None:
            yield self._narrow
        else:
            yield from _rows(self._table)


def _needed(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Columns that the table takes if nothing but prose, which is what has a ratio, is broken."""
    endless = options.update(width=100_000)
    whole = Measurement.get(console, endless, table).maximum
    for column in table.columns:
        if column.ratio is not None:
            widest = max(Measurement.get(console, endless, cell).maximum for cell in [column.header, *column.cells])
            whole -= max(0, widest - _RAGGED)
    return whole


def _rows(table: Table) -> Iterator[RenderableType]:
    """Each row as its first cell, with the others below it by name. A blank first cell is that of the row above."""
    if table.title:
        yield Text(str(table.title), "italic")
    names = [_plain(column.header) for column in table.columns]
    for row, *cells in zip(table.rows, *(column.cells for column in table.columns)):
        first, *others = map(_plain, cells)
        style = str(row.style or "")
        if first:
            yield Text(first, style)
        yield Flow((f"{n} {c}".strip() for n, c in zip(names[1:], others) if c not in ("", "-")), style, indent=2)


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain


def listed(rows: Sequence[tuple[str, RenderableType]]) -> Table:
    """Names with what belongs to them, below one another."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, what in rows:
        table.add_row(Text(name), what)
    return table
