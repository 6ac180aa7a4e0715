"""An exported Motif-2 folder is all that transformers needs: no reprise, no Liger, wherever it is loaded."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from reprise.models.motif2 import Motif2Config, Motif2ForCausalLM
from reprise.models.motif2.build import build
from reprise.models.policy import check_model_folder

OURS = ("actors", "buffer", "data", "launch", "learner", "models", "rewards", "rollout")
FILES = {"attention.py", "configuration.py", "modeling.py", "poly_norm.py", "rms_norm.py"}

# What a user without reprise runs; packages that are not theirs cannot be imported.
LOAD = """
import sys
BLOCKED = set(sys.argv[3].split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED and "transformers_modules" not in name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
folder, out = sys.argv[1:3]
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
ids = tokenizer("1+2=", return_tensors="pt").input_ids
with torch.no_grad():
    torch.save({"ids": ids, "logits": model(ids).logits}, out)
written = model.generate(ids, max_new_tokens=4, do_sample=False)
assert written.shape[1] > ids.shape[1]
assert not BLOCKED & set(sys.modules), BLOCKED & set(sys.modules)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("motif2"), 3, num_hidden_layers=2)


def test_its_logits_are_the_same_where_reprise_is_not_installed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "logits.pt"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder), str(out), ",".join((*OURS, "liger_kernel"))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = torch.load(out)
    ours = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    assert isinstance(ours, Motif2ForCausalLM)
    with torch.no_grad():
        torch.testing.assert_close(theirs["logits"], ours(theirs["ids"]).logits, rtol=0, atol=0)


def test_what_is_trained_again_runs_no_code_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "modeling.py").rename(tmp_path / "modeling.py")
    (folder / "configuration.py").write_text("raise SystemExit('code of the folder was run')")
    try:
        check_model_folder(folder, "policy.path")
        assert type(AutoConfig.from_pretrained(folder, trust_remote_code=False)) is Motif2Config
    finally:
        (tmp_path / "modeling.py").rename(folder / "modeling.py")


def test_the_folder_names_its_code_and_holds_it(folder: Path) -> None:
    assert {file.name for file in folder.glob("*.py")} == FILES
    assert json.loads((folder / "config.json").read_text())["auto_map"] == {
        "AutoConfig": "configuration.Motif2Config",
        "AutoModelForCausalLM": "modeling.Motif2ForCausalLM",
    }
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.split(".")[0] for name in names} & set(OURS), file.name
