"""Small things about files that several packages need."""

from __future__ import annotations

import os
import re
from pathlib import Path

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
    """UserError if a folder on the way to `path` may not be entered, where Path's own questions raise."""
    try:
        path.stat()
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except OSError:
        return


def mode_of_new_files(path: Path) -> None:
    """Give a file the mode that the umask leaves to new ones. safetensors makes its files for the owner alone."""
    # os.umask would have to change it to read it, for every thread of the process.
    found = re.search(r"^Umask:\s*([0-7]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is not None:
        path.chmod(0o666 & ~int(found[1], 8))
