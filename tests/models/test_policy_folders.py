"""What a saved policy's folder has: modes of files as the umask says, and no names of code that is not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from reprise.models import tiny
from reprise.models.motif2.build import build
from reprise.models.policy import check_model_folder
from reprise.models.saving import save_policy


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("qwen3"), 0, width=32, layers=1)


@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("002", 0o664), ("077", 0o600)])
def test_files_have_the_mode_that_the_umask_leaves(tmp_path: Path, umask: str, mode: int) -> None:
    """In a process of its own: a umask is all threads'."""
    program = (
        f"import os; os.umask(0o{umask})\n"
        "from pathlib import Path; from safetensors.numpy import save_file; import numpy\n"
        "from reprise.core.files import mode_of_new_files\n"
        f"file = Path({str(tmp_path / 'x.safetensors')!r})\n"
        "save_file({'x': numpy.zeros(1)}, file)\n"
        "mode_of_new_files(file)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, timeout=60)
    assert (tmp_path / "x.safetensors").stat().st_mode & 0o777 == mode


def test_every_file_of_a_policy_has_the_same_mode(qwen3: Path) -> None:
    """safetensors alone would leave the weights to their owner."""
    modes = {file.name: file.stat().st_mode & 0o777 for file in qwen3.iterdir()}
    assert set(modes.values()) == {modes["config.json"]}, modes


def test_code_that_is_not_copied_is_not_named(qwen3: Path, tmp_path: Path) -> None:
    """A folder of a model that transformers carries may name code of its own, which we neither run nor copy."""
    folder = Path(shutil.copytree(qwen3, tmp_path / "theirs"))
    for file, code in (
        ("config.json", {"AutoConfig": "theirs.Config"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["theirs.Tokenizer", None]}),
    ):
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, "auto_map": code}))
    (folder / "theirs.py").write_text("raise SystemExit('code of the folder was run')")
    check_model_folder(folder, "policy.path")
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    save_policy(model, tokenizer, tmp_path / "ours")
    for path in (tmp_path / "ours").glob("*.json"):
        assert "auto_map" not in json.loads(path.read_text()), path.name
    AutoModelForCausalLM.from_pretrained(tmp_path / "ours", trust_remote_code=True)
    AutoTokenizer.from_pretrained(tmp_path / "ours", trust_remote_code=True)


def test_the_published_checkpoint_s_code_is_replaced_by_ours(tmp_path: Path) -> None:
    folder = build(tmp_path / "published", 0, num_hidden_layers=1)
    config = json.loads((folder / "config.json").read_text())
    theirs = {"AutoConfig": "configuration_motif.MotifConfig", "AutoModel": "modeling_motif.MotifModel"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": theirs}))
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    save_policy(model, AutoTokenizer.from_pretrained(folder), tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["auto_map"] == {
        "AutoConfig": "configuration.Motif2Config",
        "AutoModelForCausalLM": "modeling.Motif2ForCausalLM",
    }
