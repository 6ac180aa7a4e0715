"""Supervised runs through the command line, on the real stack."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
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
    **{f"stages.{stage}.sources.{i}.args.count": 120 for stage, sources in ((0, 2), (1, 3)) for i in range(sources)},
    **{f"eval.sources.{i}.args.count": 12 for i in range(3)},
}


def start(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "launch", "sft", *arguments], cwd=ROOT, stdout=log.open("ab"), stderr=subprocess.STDOUT,
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
    assert process.wait(240) == 0, (folder / "log").read_text()
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


def kill_when(folder: Path, process: subprocess.Popen[bytes], step: int) -> None:
    """SIGKILL for the run and all it started, once the step has been written."""
    until = time.monotonic() + 200
    metrics = folder / "demo_sft" / "metrics.jsonl"
    while not (metrics.exists() and f'"step": {step},' in metrics.read_text()):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    for member in family:
        if member.is_running():
            member.kill()
    psutil.wait_procs(family, timeout=20)
    process.wait(20)


def test_a_killed_run_goes_on_along_the_curve_it_would_have_had(whole: Path, tmp_path: Path) -> None:
    step = int(np.random.default_rng().integers(5, 24))  # any step after the first checkpoint
    kill_when(tmp_path, start(str(DEMO), *overrides(tmp_path), log=tmp_path / "log"), step)
    resumed = start("--resume", str(tmp_path / "demo_sft"), log=tmp_path / "log")
    assert resumed.wait(240) == 0, (tmp_path / "log").read_text()
    np.testing.assert_allclose(
        losses(tmp_path / "demo_sft"), losses(whole), rtol=0, atol=1e-6, err_msg=f"killed at {step}"
    )
    ours, theirs = (
        {line["step"]: line["eval/loss/reverse"] for line in lines(run) if "eval/loss/reverse" in line}
        for run in (tmp_path / "demo_sft", whole)
    )
    assert ours == pytest.approx(theirs, abs=1e-6)
    kept = sorted(p.name for p in (tmp_path / "demo_sft" / "checkpoints").iterdir())
    assert kept == ["step-000020", "step-000024"]
    assert json.loads((tmp_path / "demo_sft" / "summary.json").read_text())["resumed_at"] is not None


def test_a_run_goes_on_with_another_number_of_ranks(whole: Path, tmp_path: Path) -> None:
    copied = tmp_path / "demo_sft"
    shutil.copytree(whole, copied)
    shutil.rmtree(copied / "checkpoints" / "step-000024")  # as if it had been killed after step 20
    alone = ["--set=learner.world_size=1", "--set=learner.sequence_parallel=1", "--set=learner.zero_stage=3"]
    resumed = start("--resume", str(copied), *alone, log=tmp_path / "log")
    assert resumed.wait(240) == 0, (tmp_path / "log").read_text()
    np.testing.assert_allclose(losses(copied), losses(whole), rtol=0, atol=1e-3)
    assert json.loads((copied / "summary.json").read_text())["resumed_at"] == 20
