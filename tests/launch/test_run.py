"""Whole runs through the command line, on the real stack: one that ends well, and each way of being cut short."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from launch.metrics import CORE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "recipes" / "demo.yaml"
SMALL = {
    "eval.final_tasks_per_domain": 24,
    "eval.every": 2,
    "eval.tasks_per_domain": 8,
    "buffer.batch_groups": 16,
    "rollout.engine.kv_cache_gb": 0.25,
}
# Random weights never solve a task, so this run samples and judges until something stops it.
ENDLESS = SMALL | {"warm_start": "null", "buffer.starvation_groups": 10**9, "eval.final_tasks_per_domain": 2}


class Run:
    """`reprise train` in a process of its own, with everything it started."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.folder = folder / "demo"
        overrides = [f"--set={key}={value}" for key, value in (settings | {"runs_dir": folder}).items()]
        self.log = folder / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "launch", "train", str(DEMO), *overrides],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.family: set[psutil.Process] = set()

    def members(self) -> set[psutil.Process]:
        """All processes of the run ever seen, the dead ones too."""
        if self.process.poll() is None:
            self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.family

    def find(self, title: str) -> psutil.Process:
        """The member whose title holds `title`."""
        for member in self.members():
            if member.is_running() and title in " ".join(member.cmdline()):
                return member
        raise LookupError(title)

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


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[dict[str, object]], Run]:
    def begin(settings: dict[str, object]) -> Run:
        run = Run(tmp_path, settings)
        request.addfinalizer(run.kill_all)
        return run

    return begin


def test_a_short_run_trains_reuses_reports_and_leaves_nothing_behind(
    start: Callable[[dict[str, object]], Run],
) -> None:
    run = start(SMALL | {"steps": 4, "warm_start.steps": 250})
    assert run.wait(350) == 0, run.output
    assert run.survivors() == []

    summary = run.summary
    assert summary["status"] == "finished"
    assert summary["steps"] == 4
    assert summary["mismatch_start"] < 1e-3
    assert set(summary["pass_at_1"]["before"]) == {"addition", "constrained", "reverse", "all"}
    assert set(summary["pass_at_1"]["after"]) == set(summary["pass_at_1"]["before"])
    counts = summary["trajectories"]
    assert counts["sampled"] >= counts["trained"] - counts["reused"] > 0
    assert counts["reused"] > 0
    assert 0 < summary["overlap"] <= 1
    assert sum(len(actors) for actors in summary["nodes"].values()) == 5

    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "time/step" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(set(line) >= CORE for line in steps)
    assert all(line["publish/mismatch"] < 1e-3 for line in steps)
    assert max(line["fresh/staleness_max"] for line in steps) <= 2

    report = (run.folder / "report.html").read_text()
    assert "<svg" in report
    assert "://" not in report.replace("http://www.w3.org", "")

    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(run.folder / "policy")
    assert AutoTokenizer.from_pretrained(run.folder / "policy").chat_template


@pytest.mark.parametrize(
    ("title", "named"),
    [
        ("VLLM::EngineCore", "engine 0 has failed: RuntimeError: the engine's core process has died"),
        ("ray::VerifierActor", "died"),
        ("ray::LearnerActor", "learner 0 has failed"),
    ],
)
def test_when_a_part_dies_the_run_ends_within_a_minute_with_the_cause(
    start: Callable[[dict[str, object]], Run], title: str, named: str
) -> None:
    run = start(ENDLESS)
    run.wait_for("RL (")
    time.sleep(2)
    run.find(title).kill()
    assert run.wait(60) == 1, run.output
    assert named in run.summary["reason"]
    assert run.summary["status"] == "failed"
    assert (run.folder / "report.html").exists()
    assert run.survivors() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_writes_its_report_and_leaves_no_process_behind(
    start: Callable[[dict[str, object]], Run], how: signal.Signals
) -> None:
    run = start(ENDLESS)
    run.wait_for("RL (")
    time.sleep(2)
    run.process.send_signal(how)
    assert run.wait(60) == 130, run.output
    assert run.summary["status"] == "interrupted"
    assert (run.folder / "report.html").exists()
    assert run.survivors() == []
