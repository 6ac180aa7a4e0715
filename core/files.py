"""Small things about files that several packages need."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from reprise.core.errors import UserError


def dangling(path: Path) -> Path | None:
    """The first of the path and its parents that is a link to nothing; None if there is none."""
    # os.path, unlike Path, says no where a folder may not be looked into.
    return next((p for p in (path, *path.parents) if os.path.islink(p) and not os.path.exists(p)), None)


def absence(path: Path) -> str:
    """Why a path does not exist, to follow its name: `it is not there`, or which link leads nowhere."""
    link = dangling(path)
    return "it is not there" if link is None else f"{link} is a link to {link.readlink()}, which is not there"


def check_may_be_reached(path: Path) -> None:
    """UserError if it is no path, or if a folder on the way to it may not be entered: Path's own questions raise."""
    try:
        path.stat()
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{str(path)!r} cannot be a path: {error}") from error
    except OSError:
        return


def mode_of_new_files(path: Path) -> None:
    """Give a file the mode that the umask leaves to new ones. safetensors makes its files for the owner alone."""
    # os.umask would have to change it to read it, for every thread of the process.
    found = re.search(r"^Umask:\s*([0-7]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is not None:
        path.chmod(0o666 & ~int(found[1], 8))


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """The name of a file to make that takes the place of `path` when the context ends well; else `path` stays as it
    was.

    It is beside `path`, new, and nobody can foresee it: in a folder that others may write to, a link that waits for a
    known name would be followed.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield draft
        sync(draft)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` as `draft_of` says. It has the mode of `path`, or what the umask
    leaves."""
    with draft_of(path) as draft:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, path.stat().st_mode & 0o777)
            yield file


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or, if interrupted, nothing: readers never see half of it."""
    with replacing(path) as file:
        file.write(text.encode())


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
