"""Lines for people end no run, whatever the console, the pipe or the disk behind them."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from recipe_files import write_recipe
from rich.console import Console

from reprise.core.errors import UserError
from reprise.launch.reporting.progress import Progress
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.launch.reporting.streams import forgiving_streams, strict_stdout
from reprise.launch.reporting.summary import Summary

ROOT = Path(__file__).parents[3]
LINE = "entropy – · reuse 25% → 30% ▁▄█ 漢"


class Broken(io.StringIO):
    """A stream that cannot be written."""

    encoding = "utf-8"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    return lambda stream: monkeypatch.setattr(sys, "stdout", stream)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_a_console_lacks_is_replaced_by_what_it_has(stdout, encoding: str) -> None:
    raw = io.BytesIO()
    stdout(io.TextIOWrapper(raw, encoding=encoding))
    with forgiving_streams():
        print(LINE, flush=True)
        shown = raw.getvalue().decode(encoding)
    assert shown.startswith("entropy")
    if encoding == "ascii":
        assert shown == "entropy - | reuse 25% -> 30% _~# ?\n"
    if encoding == "utf-8":
        assert shown == LINE + "\n"


@pytest.mark.parametrize("columns", ["60", "200"])
def test_a_run_s_display_in_ascii_is_whole(stdout, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setenv("COLUMNS", columns)
    stdout(io.TextIOWrapper(raw, encoding="ascii"))
    scored = Evaluation.of([EvalRecord("sums", "1", 0, True, True, False, 9)])
    with forgiving_streams(), Progress("demo") as progress:
        progress.note(LINE.replace("漢", ""))
        progress.print(progress._render())
        progress.print(Summary("demo", before=scored, after=scored).table())
    shown = raw.getvalue().decode("ascii")
    assert "reuse 25% -> 30%" in shown
    assert "?" not in shown


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "nobody reads"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EIO, "the terminal is gone"),
        ValueError("I/O operation on closed file"),
    ],
)
def test_lines_that_cannot_be_written_are_dropped(stdout, error: Exception) -> None:
    stdout(Broken(error))
    with forgiving_streams(), Progress("demo") as progress:
        progress.phase("RL", 3)
        progress.note("something to know")
        print("and more", flush=True)
        Console().print("and more")


def test_a_process_without_stdout_runs_too(stdout) -> None:
    stdout(None)
    with forgiving_streams(), Progress("demo") as progress:
        progress.phase("RL", 3)
        print("and more")


def test_what_programs_read_is_not_dropped_in_silence(stdout) -> None:
    stdout(Broken(OSError(errno.ENOSPC, "full")))
    with forgiving_streams(), pytest.raises(OSError, match="full"), strict_stdout() as out:
        out.write("steps: 3\n")
    stdout(None)
    with forgiving_streams(), pytest.raises(UserError, match="stdout is closed"), strict_stdout() as out:
        out.write("steps: 3\n")


def test_the_streams_are_what_they_were_afterwards(stdout) -> None:
    before = io.StringIO()
    stdout(before)
    with forgiving_streams():
        print("x")
    assert sys.stdout is before
    assert before.getvalue() == "x\n"


# --- whole commands ---------------------------------------------------------------------------------------------------


def reprise(*arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = f'"{sys.executable}" -m reprise "$@" {shell}'
    path = os.pathsep.join(["tests", *filter(None, [os.environ.get("PYTHONPATH")])])
    # bash leaves SIGPIPE as it finds it, and Python ignores it.
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, "reprise", *arguments],
        env=os.environ | {"PYTHONPATH": path} | environment, cwd=ROOT, capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_recipe_is_a_recipe_in_any_encoding(tmp_path: Path) -> None:
    file = write_recipe(tmp_path, tracking={"project": "größe–漢"})
    printed = reprise("recipe", str(file), PYTHONIOENCODING="ascii")
    assert printed.returncode == 0, printed.stderr
    assert yaml.safe_load(printed.stdout.decode("ascii"))["tracking"]["project"] == "größe–漢"


@pytest.mark.parametrize("shell", [">&-", "| head -1", ">/dev/full", "2>&-"])
def test_a_dry_run_ends_well_wherever_its_lines_go(tmp_path: Path, shell: str) -> None:
    ran = reprise("train", str(write_recipe(tmp_path)), "--dry-run", shell=shell, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert b"Exception ignored" not in ran.stderr


def test_a_recipe_that_finds_a_full_disk_is_an_error_of_one_line(tmp_path: Path) -> None:
    ran = reprise("recipe", str(write_recipe(tmp_path)), shell=">/dev/full")
    assert ran.returncode == 1
    assert ran.stderr.count(b"\n") == 1, ran.stderr


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"COLUMNS": "0"}, {"COLUMNS": "wide"}, {"TERM": "nonsense"}])
def test_odd_terminals_show_it_all(tmp_path: Path, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()  # of 0 columns, as such terminals are until somebody sets them
    process = subprocess.Popen(
        [sys.executable, "-m", "reprise", "recipe", "--keys", "buffer.reuse"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip
    os.close(theirs)
    shown = _read(ours)
    assert process.wait(60) == 0, shown
    assert "buffer.reuse.max_age" in shown
    assert "trained on" in shown


def _read(descriptor: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the other end was closed
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode()
        parts.append(part)
