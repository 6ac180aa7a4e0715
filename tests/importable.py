"""For tests that start another Python, or another user's: a folder from which it can import `reprise`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def importable() -> Iterator[str]:
    """A folder for PYTHONPATH, open to every user; `reprise` in it is a link to this checkout."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        Path(folder, "reprise").symlink_to(ROOT)
        yield folder
