"""Who runs a sandbox: root with and without rights, a user, a strict umask, a long folder for temporary files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from importable import ROOT, importable

from reprise.sandbox import Job, SandboxSettings
from reprise.sandbox.backends import STRONGEST_FIRST, probe
from reprise.sandbox.inside import keeper, kernel
from reprise.sandbox.pool import SandboxPool

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.slow
@pytest.mark.parametrize("backend", STRONGEST_FIRST)
def test_a_strict_umask_makes_no_difference(backend: str, strict_umask: None) -> None:
    """Seen before: "Can't find source path …: Permission denied", and no sandbox at all."""
    pool = SandboxPool(SandboxSettings(slots=1, backend=backend))  # type: ignore[arg-type]
    try:
        assert pool.run_one(Job("import json, os\nprint(os.umask(0))")).stdout == b"18\n"
    finally:
        pool.close()


@pytest.mark.slow
def test_a_long_folder_for_temporary_files_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert probe("landlock", SandboxSettings()).works


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A Python in a folder that only its owner may enter."""
    python = tmp_path / "home" / "python"
    python.mkdir(parents=True)
    python.parent.chmod(0o700)
    tmp_path.chmod(0o755)
    for each in tmp_path.parents:
        if not each.stat().st_mode & 0o001:
            each.chmod(0o755)
    return python


def refused(*_: object) -> None:
    raise PermissionError(1, "unshare: Operation not permitted")


def test_where_root_may_not_mount_it_is_said_what_to_change(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen before: such programs ran as root, and could make a program of root's set its user."""
    monkeypatch.setattr(kernel, "unshare", refused)
    with pytest.raises(PermissionError, match=rf"user 61000, never as root, .* chmod go\+x {closed.parent}, or"):
        keeper._make_reachable([str(closed)], 61_000)
    closed.parent.chmod(0o711)
    keeper._make_reachable([str(closed)], 61_000)


def test_where_root_may_become_nobody_else_no_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setgroups", refused)
    with pytest.raises(PermissionError, match="never as root, and root may not become another user here"):
        keeper._change_user(61_000)


def test_what_was_installed_under_a_strict_umask_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("secret.py"))
    keeper._check_readable([str(tmp_path)], 61_000)
    with pytest.raises(PermissionError, match=r"may not read .*secret\.py: was it installed under a strict umask"):
        keeper._check_readable([str(tmp_path), str(tmp_path / "secret.py")], 61_000)


_AS_A_USER = 'exec setpriv --reuid 54321 --regid 54321 --clear-groups --bounding-set=-all --inh-caps=-all "$@"'
_PROBE = """
from reprise.sandbox import SandboxSettings
from reprise.sandbox.backends import STRONGEST_FIRST, probe
print({backend: probe(backend, SandboxSettings()).why for backend in STRONGEST_FIRST})
"""


def opened(paths: set[str], scratch: Path) -> Iterator[str]:
    """Commands, for a mount namespace, after which anybody may enter these paths, whichever folder above is closed."""
    closed: dict[Path, set[Path]] = {}
    for path in map(Path, paths):
        above = [folder for folder in [*reversed(path.parents), path] if is_closed(folder)]
        if above:
            closed.setdefault(above[0], set()).update(path.iterdir() if is_closed(path) else [path])
    for folder, wanted in closed.items():
        yield f"mkdir -p {scratch}{folder}; mount --bind {folder} {scratch}{folder}"
        yield f"mount -t tmpfs -o mode=755 none {folder}"
        for path in sorted(wanted):
            made = f"mkdir -p {path}" if path.is_dir() else f"mkdir -p {path.parent}; touch {path}"
            yield f"{made}; mount --bind {scratch}{path} {path}"


def is_closed(folder: Path) -> bool:
    return not folder.stat().st_mode & 0o001


@needs_root
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("setpriv") or not shutil.which("unshare"), reason="needs util-linux")
def test_a_user_without_any_right_has_every_backend(tmp_path: Path) -> None:
    """In mounts of its own, in which this Python and this code can be reached even if they lie below /root."""
    paths = {os.path.realpath(sys.base_prefix), sys.prefix, sysconfig.get_path("purelib"), str(ROOT)}
    script = "\n".join(["set -e", *opened(paths, tmp_path), _AS_A_USER])
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", _PROBE]
    with importable() as folder:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": folder, "HOME": "/tmp"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    if "mount" in done.stderr and done.returncode != 0:
        pytest.skip(f"root may not mount here: {done.stderr}")
    assert done.stdout.strip() == str(dict.fromkeys(STRONGEST_FIRST, "")), done.stderr
