"""`report.html`: one self-contained page about a run, made from the files of its folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import RenderableType

from reprise.core.files import write_atomically
from reprise.launch.reporting import sft_summary_table, summary_table
from reprise.launch.reporting.report.page import page
from reprise.launch.reporting.report.sources import RunRecord


def write_report(run_dir: Path) -> Path:
    """Write `report.html` from whatever the run left in its folder, and return its path.

    Works for a run that is finished, interrupted or still going: what is missing or broken is said on the page. The
    page asks nothing of the network and needs no script.
    """
    path = run_dir / "report.html"
    run = RunRecord.read(run_dir)
    write_atomically(path, page(run))
    return path


def table_of(run: RunRecord) -> RenderableType:
    """The run's table, as it was at its end, or as far as it is."""
    values = {"name": run.name, **run.summary, "steps": run.steps_done}
    return (sft_summary_table.table if run.supervised else summary_table.table)(values)
