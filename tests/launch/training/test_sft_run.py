"""Supervised runs through the command line, on the real stack."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import reprise.models.motif2  # noqa: F401 - transformers learns of the policy

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 400
DEMO = ROOT / "recipes" / "demo_sft.yaml"
SMALL = {
    "stages.0.steps": 14,
    "stages.0.warmup_steps": 4,
    "stages.0.batch_size": 8,
    "stages.1.steps": 10,
    "stages.1.warmup_steps": 2,
    "stages.1.batch_size": 8,
    "eval.every": 6,
    "checkpoints.every": 4,
    "tracking.wandb": "disabled",
    "cluster.start_deadline_s": 400,
    **{f"stages.{stage}.sources.{i}.args.count": 120 for stage, sources in ((0, 2), (1, 3)) for i in range(sources)},
    **{f"eval.sources.{i}.args.count": 12 for i in range(3)},
}


def start(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "reprise", "sft", *arguments], cwd=ROOT, stdout=log.open("ab"), stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def overrides(folder: Path, **changed: object) -> list[str]:
    return [f"--set={key}={value}" for key, value in (SMALL | {"runs_dir": folder} | changed).items()]


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    steps = [line for line in lines(run) if "loss/train" in line]
    assert [line["step"] for line in steps] == list(range(1, 25)), "each step once, in order"
    return [line["loss/train"] for line in steps]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted, on two ranks that share each row."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(str(DEMO), *overrides(folder), log=folder / "log")
    assert process.wait(DEADLINE_S) == 0, (folder / "log").read_text()
    return folder / "demo_sft"


def test_both_stages_are_trained_and_what_is_forgotten_would_be_seen(whole: Path) -> None:
    curve = losses(whole)
    assert np.mean(curve[9:14]) < np.mean(curve[:3])
    evaluations = [line for line in lines(whole) if "eval/loss/addition" in line]
    assert [line["step"] for line in evaluations] == [0, 6, 12, 14, 18, 24]
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert [(stage["name"], stage["steps"]) for stage in summary["stages"]] == [("basics", 14), ("reasoning", 10)]
    assert summary["stages"][1]["eval_loss"]["constrained"] < summary["eval_before"]["constrained"]
    shares = [(line["data/share/addition"], line["data/context"]) for line in lines(whole) if "data/stage" in line]
    assert shares[0] == (0.5, 64)
    assert shares[13] == (0.5, 128)
    assert shares[14][0] < 0.25 < 0.35 < shares[23][0], "the second stage's weights change over it"
    report = (whole / "report.html").read_text()
    assert "Held-out loss by domain" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_the_exported_policy_loads_and_is_the_one_that_was_trained(whole: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(whole / "policy")
    start_model = AutoModelForCausalLM.from_pretrained(whole / "policy-start")
    tokenizer = AutoTokenizer.from_pretrained(whole / "policy")
    assert tokenizer.chat_template
    ids = torch.tensor([tokenizer.encode("12+34=?")])
    with torch.no_grad():
        assert not torch.allclose(model(ids).logits, start_model(ids).logits, atol=1e-2)


def running_until(folder: Path, process: subprocess.Popen[bytes], step: int) -> list[psutil.Process]:
    """The processes of the run when the step has been written."""
    until = time.monotonic() + DEADLINE_S
    metrics = folder / "demo_sft" / "metrics.jsonl"
    while not (metrics.exists() and f'"step": {step},' in metrics.read_text()):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.01)
    return psutil.Process(process.pid).children(recursive=True)


@dataclass(frozen=True)
class Killed:
    """A run that lost a rank, by SIGKILL, after this step."""

    folder: Path
    step: int
    exit_code: int
    left: list[psutil.Process]
    log: str

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.folder, to / "demo_sft"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    step = int(np.random.default_rng().integers(5, 24))  # any step after the first checkpoint
    process = start(str(DEMO), *overrides(folder), log=folder / "log")
    family = running_until(folder, process, step)
    next(p for p in family if "ray::LearnerActor" in " ".join(p.cmdline())).kill()
    code = process.wait(60)
    _, left = psutil.wait_procs(family, timeout=20)
    return Killed(folder / "demo_sft", step, code, left, (folder / "log").read_text())


def test_a_run_that_loses_a_rank_ends_within_a_minute_with_the_cause(killed: Killed) -> None:
    assert killed.exit_code == 1, killed.log
    summary = json.loads((killed.folder / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert re.search(r"learner [01] has failed", summary["reason"])
    assert killed.left == []


def resumed(killed: Killed, to: Path, *changes: str) -> Path:
    """The run, killed, goes on in a copy of its folder, and ends well."""
    folder = killed.copy(to)
    process = start("--resume", str(folder), *changes, log=to / "log")
    assert process.wait(DEADLINE_S) == 0, (to / "log").read_text()
    assert json.loads((folder / "summary.json").read_text())["resumed_at"] is not None
    return folder


def test_a_killed_run_goes_on_along_the_curve_it_would_have_had(whole: Path, killed: Killed, tmp_path: Path) -> None:
    folder = resumed(killed, tmp_path)
    np.testing.assert_allclose(losses(folder), losses(whole), rtol=0, atol=1e-6, err_msg=f"killed at {killed.step}")
    ours, theirs = (
        {line["step"]: line["eval/loss/reverse"] for line in lines(run) if "eval/loss/reverse" in line}
        for run in (folder, whole)
    )
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-000020", "step-000024"]


@pytest.mark.full  # the driver draws the data, whatever the ranks; and an RL run goes on in another layout
def test_a_killed_run_goes_on_with_another_number_of_ranks(whole: Path, killed: Killed, tmp_path: Path) -> None:
    alone = ["--set=learner.world_size=1", "--set=learner.sequence_parallel=1", "--set=learner.zero_stage=3"]
    folder = resumed(killed, tmp_path, *alone)
    np.testing.assert_allclose(losses(folder), losses(whole), rtol=0, atol=1e-3, err_msg=f"killed at {killed.step}")


@pytest.mark.full  # as a machine that goes down: the files that a killed rank leaves are the same
def test_a_run_of_which_everything_is_killed_goes_on(whole: Path, tmp_path: Path) -> None:
    process = start(str(DEMO), *overrides(tmp_path), log=tmp_path / "log")
    family = running_until(tmp_path, process, int(np.random.default_rng().integers(5, 24)))
    for member in [psutil.Process(process.pid), *family]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(20)
    psutil.wait_procs(family, timeout=20)
    again = start("--resume", str(tmp_path / "demo_sft"), log=tmp_path / "log")
    assert again.wait(DEADLINE_S) == 0, (tmp_path / "log").read_text()
    np.testing.assert_allclose(losses(tmp_path / "demo_sft"), losses(whole), rtol=0, atol=1e-6)
