"""`reprise train` in a process of its own, as tests of whole runs start, watch and stop it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "recipes" / "demo.yaml"
MATHS_AND_CODE = ROOT / "recipes" / "maths_and_code.yaml"
SMALL = {
    "eval.final_tasks_per_domain": 24,
    "eval.every": 2,
    "eval.tasks_per_domain": 8,
    "buffer.batch_groups": 8,
    "rollout.engine.kv_cache_gb": 0.25,
    # Two engines, or another lane's tests, may start at the same time.
    "rollout.engine.start_deadline_s": 400,
    "cluster.start_deadline_s": 400,
}
# Random weights never solve a task, so this run samples and verifies until something stops it. A few steps of imitation
# make the first published weights others than those that the engine has loaded.
IMITATE = {"before.sft.stages.0.steps": 3, "before.sft.stages.0.warmup_steps": 0}
ENDLESS = SMALL | IMITATE | {"buffer.starvation_groups": 10**9, "eval.final_tasks_per_domain": 2}
MOTIF2 = {"policy.build": "reprise.models.motif2.build:build", "policy.build_args": "{preset: tiny}"}
TIED = {"policy.build": "reprise.models.tiny:build", "policy.build_args": "{}"}  # a Qwen3 whose head is its embedding


class Run:
    """`reprise train` in a process of its own, with everything it started."""

    def __init__(self, folder: Path, settings: dict[str, object], recipe: Path = DEMO, cwd: Path = ROOT) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder / recipe.stem
        overrides = [f"--set={key}={value}" for key, value in (settings | {"runs_dir": folder}).items()]
        self.log, self._cwd = folder / "log.txt", cwd
        self._start(str(recipe), *overrides)

    def resume(self, *overrides: str) -> None:
        """Go on with it, killed or ended, in a new process."""
        self._start("--resume", str(self.folder), *(f"--set={override}" for override in overrides))

    def _start(self, *arguments: str) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reprise", "train", *arguments],
                cwd=self._cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A shell that starts its jobs in the background has them ignore Ctrl-C, and that is inherited.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.family: set[psutil.Process] = set()

    def members(self) -> set[psutil.Process]:
        """All processes of the run ever seen, the dead ones too."""
        if self.process.poll() is None:
            self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.family

    def find(self, title: str) -> list[psutil.Process]:
        """The living members whose titles hold `title`."""
        found = []
        for member in self.members():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                if title in " ".join(member.cmdline()):
                    found.append(member)
        return found

    def wait_for(self, text: str, deadline_s: float = 200) -> None:
        """Wait until the run has printed `text`."""
        until = time.monotonic() + deadline_s
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < until, f"{text!r} did not appear:\n{self.output}"
            self.members()
            time.sleep(0.5)

    def wait(self, deadline_s: float) -> int:
        until = time.monotonic() + deadline_s
        while self.process.poll() is None and time.monotonic() < until:
            self.members()
            time.sleep(0.5)
        return self.process.wait(1)

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def summary(self) -> dict:
        return json.loads((self.folder / "summary.json").read_text())

    @property
    def steps(self) -> list[dict]:
        """The lines of metrics.jsonl that are training steps."""
        return [line for line in self.lines if "time/step" in line]

    @property
    def lines(self) -> list[dict]:
        """All lines of metrics.jsonl, but for one that is being written."""
        written = (self.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in written if line.endswith("\n")]

    def survivors(self, grace_s: float = 15) -> list[str]:
        """Members that are still there some seconds after the run ended."""
        _, alive = psutil.wait_procs(self.family, timeout=grace_s)
        return [" ".join(p.cmdline()) for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def kill_all(self) -> None:
        for member in self.members():
            if member.is_running():
                member.kill()
        self.process.kill()
        self.process.wait()
