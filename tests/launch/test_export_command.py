"""`reprise export`: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from recipe_files import write_recipe
from transformers import AutoModelForCausalLM, AutoTokenizer

from reprise.launch.cli import main
from reprise.launch.recipe.loading import load, to_yaml
from reprise.launch.reporting.run_folder import RunFolder
from reprise.learner.checkpoints import folder as checkpoints
from reprise.learner.checkpoints.shards import Shards
from reprise.models import tiny


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run's folder without a checkpoint."""
    made = RunFolder.create(tmp_path / "runs", "r")
    policy = {"build": "reprise.models.tiny:build", "build_args": {"width": 32, "layers": 1}}
    made.recipe.write_text(to_yaml(load(write_recipe(tmp_path, policy=policy))))
    tiny.build(made.policy_start, 0, width=32, layers=1)
    return made


def test_what_cannot_be_exported_is_refused_with_the_reason(run: RunFolder, tmp_path: Path, capsys) -> None:
    for arguments, message in (
        (["/nowhere", "--to", "x"], "/nowhere is not a run's folder"),
        ([str(run.path), "--to", str(tmp_path)], "is there already and not empty"),
        ([str(run.path), "--to", str(tmp_path / "new")], "has no complete checkpoint"),
    ):
        assert main(["export", *arguments]) == 2
        assert message in capsys.readouterr().err
    (run.checkpoints / "step-000004").mkdir(parents=True)
    assert main(["export", str(run.path), "--to", str(tmp_path / "new"), "--step", "3"]) == 2
    assert "has complete checkpoints of the steps [4]" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run: RunFolder, tmp_path: Path, capsys) -> None:
    for step in (4, 8):
        (run.checkpoints / f"step-{step:06d}").mkdir(parents=True)
    assert main(["export", str(run.path), "--to", str(tmp_path / "new"), "--dry-run"]) == 0
    assert "step-000008 (float32)" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_the_exported_weights_are_the_checkpoints(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = tiny.build(tmp_path / "trained", 1, width=32, layers=1)
    weights = dict(AutoModelForCausalLM.from_pretrained(trained).named_parameters())
    checkpoint = run.checkpoints / "step-000004"
    checkpoint.mkdir(parents=True)
    parameters = {f"model.{name}": list(p.shape) for name, p in weights.items()}
    (checkpoint / checkpoints.METADATA).write_text(json.dumps({"format": 1, "step": 4, "parameters": parameters}))

    def read(self: object, key: str, fragment: object, into: torch.Tensor) -> None:
        into.copy_(weights[fragment.name.removeprefix("model.")].detach().flatten())  # type: ignore[attr-defined]

    monkeypatch.setattr(Shards, "__init__", lambda *_: None)
    monkeypatch.setattr(Shards, "read", read)
    assert main(["export", str(run.path), "--to", str(tmp_path / "new")]) == 0
    exported, expected = (AutoModelForCausalLM.from_pretrained(d) for d in (tmp_path / "new", trained))
    ids = torch.arange(10, 40)[None]
    with torch.no_grad():
        assert torch.equal(exported(ids).logits, expected(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "new").chat_template
    assert exported.config._attn_implementation == "sdpa"
