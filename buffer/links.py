"""What is not there, in words: a link whose target is gone looks like nothing to most functions, and is something."""

from __future__ import annotations

from pathlib import Path


def dangling(path: Path) -> Path | None:
    """The first of the path and its parents that is a link to nothing; None if there is none."""
    return next((p for p in (path, *path.parents) if p.is_symlink() and not p.exists()), None)


def absence(path: Path) -> str:
    """Why a path does not exist, to follow its name: `it is not there`, or which link leads nowhere."""
    link = dangling(path)
    return "it is not there" if link is None else f"{link} is a link to {link.readlink()}, which is not there"
