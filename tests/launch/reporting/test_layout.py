"""Tables and lists at every width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType
from rich.table import Column, Table

from reprise.launch.reporting.layout import Fitted, Flow, console

WIDTHS = [20, 40, 60, 80, 110, 200]


def printed(what: RenderableType, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(what)
    assert all(len(line) <= width for line in stream.getvalue().splitlines())
    return stream.getvalue()


@pytest.fixture
def table() -> Table:
    made = Table("domain", Column("interval", justify="right"), Column("reasons", ratio=1))
    made.add_row("geometry", "0.27–0.37", "correct 12  wrong 300  no_answer 4", style="red")
    made.add_row("", "0.63–0.73", "correct 12")
    return made


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_is_ever_cut(table: Table, width: int) -> None:
    text = printed(Fitted(table), width)
    for cell in ("geometry", "0.27–0.37", "0.63–0.73", "no_answer"):
        assert cell in text
    assert "…" not in text


def test_a_table_that_does_not_fit_becomes_its_rows(table: Table) -> None:
    assert printed(Fitted(table), 40).splitlines() == [
        "geometry",
        "  interval 0.27–0.37",
        "  reasons correct 12  wrong 300  ",
        "  no_answer 4",
        "  interval 0.63–0.73  reasons correct 12",
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_line_ends_between_two_texts(width: int) -> None:
    parts = ["set-up 22s", "warm start 2m41s", "RL 3m13s"]
    lines = printed(Flow(parts), width).splitlines()
    assert "  ".join(line.strip() for line in lines) == "  ".join(parts)


def test_a_log_has_a_width_of_its_own_unless_it_is_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console(io.StringIO()).width == 120
    monkeypatch.setenv("COLUMNS", "60")
    assert console(io.StringIO()).width == 60
    monkeypatch.setenv("COLUMNS", "0")
    assert console(io.StringIO()).width == 120
