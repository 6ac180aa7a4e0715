"""What an installation has: every package under one name, and the public names at its top."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import reprise

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {"tests", "bench", "build", "runs"}


def test_every_package_is_installed() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folders = {path.parent.relative_to(ROOT) for path in ROOT.rglob("__init__.py")}
    ours = {folder for folder in folders if not folder.parts or folder.parts[0] not in ELSEWHERE}
    packages = {".".join(("reprise", *f.parts)) for f in ours if not any(part.startswith(".") for part in f.parts)}
    assert set(setup["options"]["packages"].split()) == packages


def test_every_file_that_a_package_reads_is_installed_with_it() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    ours = {package.split(".")[1] for package in setup["options"]["packages"].split() if "." in package}
    files = [path for folder in ours for path in (ROOT / folder).rglob("*") if path.is_file()]
    installed = {
        path
        for package, pattern in setup["options.package_data"].items()
        for path in ROOT.joinpath(*package.split(".")[1:]).glob(pattern)
    }
    assert {path for path in files if path.suffix not in {".py", ".pyc"}} <= installed


def test_the_public_names_are_there_and_no_other() -> None:
    assert [getattr(reprise, name) for name in reprise.__all__]
    assert reprise.Verdict.scored(1.0).score == 1.0
    assert not hasattr(reprise, "nonsense")


def test_to_write_a_verifier_nobody_waits_for_torch_or_ray() -> None:
    program = (
        "import sys\nfrom reprise import Answer, Task, Verdict, Verifier\nprint({'torch', 'ray'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "set()\n", ran.stderr
