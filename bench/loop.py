"""How fast is the loop, and how far from what this machine allows? `python bench/loop.py` prints one table.

Every ratio compares two things measured in the same run. README.md beside this file says what each row means.
"""

from __future__ import annotations

import os

# Before torch is imported, here or in what this starts: a thread a process, as in a run on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rows import Row, machine, table

SECTIONS = ("steps", "orchestration", "publishing", "buffer")
_NEEDS_RAY = {"steps", "orchestration", "publishing"}


def main() -> None:
    arguments = _parser().parse_args()
    chosen = [name for name in SECTIONS if name in (arguments.only or SECTIONS)]
    rows: list[Row] = []
    seconds: dict[str, float] = {}
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="reprise-bench-") as scratch, progress.status("starting") as status:
        if _NEEDS_RAY & set(chosen):
            _join_ray()
        for name in chosen:
            status.update(f"measuring {name}")
            started = time.monotonic()
            rows += _measure(name, Path(scratch) / name, arguments)
            seconds[name] = time.monotonic() - started
    here = machine()
    Console(width=max(Console().width, 120)).print(table(rows, here))
    if arguments.json is not None:
        report = {"machine": here, "seconds": seconds, "rows": [row.plain() for row in rows]}
        arguments.json.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def _join_ray() -> None:
    import torch

    from reprise.launch.training.quiet import quiet_libraries
    from reprise.launch.training.ray_session import join_ray

    torch.set_num_threads(1)
    quiet_libraries()
    join_ray(start_deadline_s=60.0)


def _measure(name: str, folder: Path, arguments: argparse.Namespace) -> Sequence[Row]:
    folder.mkdir()
    if name == "buffer":
        import buffer_operations

        return buffer_operations.measure(arguments.quick)
    if name == "orchestration":
        import orchestration

        return asyncio.run(orchestration.measure(folder, arguments.quick))
    if name == "publishing":
        import publishing

        return asyncio.run(publishing.measure(folder, arguments.quick))
    import steps

    return asyncio.run(steps.measure(folder, arguments.policy, arguments.quick))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=SECTIONS, help="measure this part only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it works, not to compare")
    parser.add_argument(
        "--policy", type=Path, metavar="FOLDER", help="policy for `steps`; without it some supervised steps make one"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write rows, details and seconds a part here")
    return parser


if __name__ == "__main__":
    main()
