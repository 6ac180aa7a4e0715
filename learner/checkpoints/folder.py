"""What a checkpoint folder may hold at any moment, however a run ended. No torch.

    step-000123           complete
    step-000123.partial   being written, or left behind by a run that was killed
    step-000123.removed   being removed

A checkpoint is written under its partial name and renamed when it is complete; one that goes is renamed before its
files are removed. So whatever has the plain name is whole.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast

from reprise.core.errors import UserError
from reprise.core.files import sync, write_atomically

METADATA = "metadata.json"
PARTIAL, REMOVED = ".partial", ".removed"
_NAME = re.compile(r"step-(\d{6,})(\.partial|\.removed)?")


class Metadata(TypedDict):
    """metadata.json of a checkpoint; `client_state` as `client_state.encode` makes it."""

    format: int
    step: int
    world_size: int
    zero_stage: int
    dtype: str
    optimizer: str
    parameters: dict[str, list[int]]
    client_state: object


def checkpoints(folder: str | Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    found = [(int(m[1]), p) for p in _entries(folder) if (m := _NAME.fullmatch(p.name)) and not m[2]]
    return [path for _, path in sorted(found)]


def latest(folder: str | Path) -> Path | None:
    """The complete checkpoint of the highest step, if there is one."""
    found = checkpoints(folder)
    return found[-1] if found else None


def step_of(path: Path) -> int:
    """The step that a checkpoint is named after."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise UserError(f"{path} is not named like a checkpoint, step-000123")
    return int(match[1])


def begin(folder: str | Path, step: int) -> Path:
    """An empty folder for the files of a new checkpoint."""
    partial = Path(folder) / f"step-{step:06d}{PARTIAL}"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial


def commit(partial: Path, metadata: Metadata) -> Path:
    """Give a folder whose files are all written its plain name, in place of a former checkpoint of the same step."""
    write_atomically(partial / METADATA, json.dumps(metadata))  # from here on the checkpoint is whole
    sync(partial)
    return _take_place(partial)


def leave_mark(folder: str | Path) -> str:
    """A file that was not there before, made in the folder, for others to see; its name."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    name = f".seen-{secrets.token_hex(8)}"
    (Path(folder) / name).touch()
    return name


def sees_mark(folder: str | Path, name: str, patience_s: float = 5.0) -> bool:
    """Whether the file of `leave_mark` appears here within the patience that network file systems need."""
    give_up = time.monotonic() + patience_s
    while not (Path(folder) / name).exists():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


def remove_mark(folder: str | Path, name: str) -> None:
    """Remove it again, and the folder if there is nothing else in it: one without checkpoints is not left behind."""
    (Path(folder) / name).unlink(missing_ok=True)
    with suppress(OSError):
        Path(folder).rmdir()


def retain(folder: str | Path, keep: int, newest: int) -> None:
    """Of the complete checkpoints up to step `newest`, remove all but the last `keep`.

    Those beyond it, from a run that was taken back to an earlier step, are left alone.
    """
    for path in [p for p in checkpoints(folder) if step_of(p) <= newest][:-keep]:
        _remove(path)


def sweep(folder: str | Path, say: Callable[[str], object]) -> None:
    """Tidy up after a run that was killed, with a line for each: finish what is whole, remove what is not."""
    for path in sorted(_entries(folder)):
        match = _NAME.fullmatch(path.name)
        if match and match[2] == PARTIAL and (path / METADATA).exists():
            say(f"gave a whole checkpoint that a stopped run left behind its name: {_take_place(path).name}")
        elif match and match[2]:
            shutil.rmtree(path)
            what = "half-written" if match[2] == PARTIAL else "half-removed"
            say(f"removed a {what} checkpoint that a stopped run left behind: {path.name}")


def read_metadata(path: str | Path) -> Metadata:
    """metadata.json of a complete checkpoint: step, world_size, zero_stage, dtype, optimizer, parameters, client_state.

    Raises UserError where there is none that can be read.
    """
    file = Path(path) / METADATA
    try:
        metadata = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a complete checkpoint: {METADATA} cannot be read ({error})") from error
    if metadata.get("format") != 1:
        raise UserError(f"checkpoint {path} has format {metadata.get('format')}, and this version reads format 1")
    return cast(Metadata, metadata)


def _entries(folder: str | Path) -> list[Path]:
    return list(Path(folder).iterdir()) if Path(folder).is_dir() else []


def _take_place(partial: Path) -> Path:
    path = partial.with_suffix("")
    if path.exists():
        _remove(path)
    partial.rename(path)
    sync(path.parent)
    return path


def _remove(path: Path) -> None:
    going = path.with_name(path.name + REMOVED)
    if going.exists():
        shutil.rmtree(going)
    path.rename(going)
    shutil.rmtree(going)
