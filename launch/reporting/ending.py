"""The last a run tells: everything that can still be written is, and the screen has the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import RenderableType

from reprise.launch.reporting.actor_logs import shown
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.run_folder import RunFolder
from reprise.learner.checkpoints.folder import latest, step_of


def resume_command(run: RunFolder, command: str) -> str | None:
    """How a run that ended early goes on, by `command` ("train" or "sft"); None if it has no checkpoint."""
    return None if latest(run.checkpoints) is None else f"reprise {command} --resume {shown(run.path)}"


def finish(
    run: RunFolder,
    progress: Progress,
    writes: Sequence[tuple[str, Callable[[], object]]],
    table: Callable[[], RenderableType],
    resume: str | None,
) -> None:
    """Write what is left to write, each with its name, and print the table. A disk that is full ends no write but one,
    and a note says which."""
    progress.close()
    for what, write in writes:
        try:
            write()
        except OSError as error:
            progress.note(f"{what} could not be written: {error.strerror or error}")
    progress.print(table())
    if run.report.exists():
        progress.print(f"report   {run.report}")
    if resume is not None:
        checkpoint = latest(run.checkpoints)
        after = f"   (from step {step_of(checkpoint)})" if checkpoint is not None else ""
        progress.print(f"resume   {resume}{after}")
