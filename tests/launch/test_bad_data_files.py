"""Files of tasks, conversations and answers that cannot be read: one line and exit code 2, from every command that
reads them, before anything is started."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from recipe_files import write_recipe

from reprise.launch.cli import main
from reprise.models import tiny

TASK = {"id": "1", "prompt": "1+1=", "domain": "sums", "verifier": "exact", "answer": "2"}
CHAT = {"messages": [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]}
RIGHT = {"train": TASK, "sft": CHAT, "verify": {"task": TASK, "response": "<ans>2</ans>"}}

BROKEN = {
    "latin-1": lambda line: line.replace("=", "é").encode("latin-1"),
    "utf-16": lambda line: line.encode("utf-16"),
    "gzip": lambda line: gzip.compress(line.encode()),
    "parquet": lambda line: b"PAR1\x15\x00\x15\x00",
    "a list": lambda line: json.dumps([json.loads(line)]).encode(),
    "a list over lines": lambda line: json.dumps([json.loads(line)], indent=1).encode(),
    "no JSON": lambda line: line.encode()[:-5],
    "digits": lambda line: line.replace('"1+1="', "7" * 5000).encode(),
    "nesting": lambda line: line.replace('"1+1="', "[" * 5000 + "]" * 5000).encode(),
    "half nesting": lambda line: line.replace('"1+1="', "[" * 500 + "]" * 500).encode(),
    "a surrogate": lambda line: line.replace("1+1=", "\\ud83d").encode(),
}
# Verifiers take any text, and no tokenizer reads a prompt there.
TAKEN = {("verify", "a surrogate")}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("policy"), 0, width=32, layers=1)


def arguments(command: str, file: Path, policy: Path) -> list[str]:
    folder = file.parent
    if command == "verify":
        return ["verify", "--input", str(file), "--output", str(folder / "out.jsonl"), "--dry-run"]
    if command == "train":
        recipe = write_recipe(folder, data={"train": [{"path": str(file)}]}, policy={"path": str(policy)})
    else:
        stage = {"name": "s", "context": 64, "steps": 1, "lr": 1e-3, "warmup_steps": 0, "batch_size": 1}
        source = {"name": "f", "path": str(file)}
        content = {
            "policy": {"path": str(policy)},
            "runs_dir": str(folder / "runs"),
            "stages": [{**stage, "schedule": "constant", "sources": [source]}],
        }
        recipe = folder / "sft.yaml"
        recipe.write_text(yaml.safe_dump(content))
    return [command, str(recipe)]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("command", ["train", "sft", "verify"])
def test_a_file_that_cannot_be_read_ends_every_command_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Path, command: str, broken: str
) -> None:
    if (command, broken) in TAKEN:
        pytest.skip("taken")
    """SFT's is no first line: all records are read before the run has a folder."""
    file, line = tmp_path / "data.jsonl", json.dumps(RIGHT[command]) + "\n"
    begins_a_file = broken in ("utf-16", "gzip", "parquet", "a list over lines")
    before = [] if begins_a_file or command != "sft" else [line.encode()]
    file.write_bytes(b"".join([*before, BROKEN[broken](line)]))
    given = arguments(command, file, policy)
    capsys.readouterr()
    for more in ([], ["--dry-run"]) if command != "verify" else ([],):
        assert main([*given, *more]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1, said
        assert said[0].startswith(f"reprise: {file}:{1 + len(before)}: "), said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["train", "sft", "verify"])
def test_the_same_files_whole_are_taken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Path, command: str
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text("\ufeff" + json.dumps(RIGHT[command]) + "\r\n\n")
    assert main([*arguments(command, file, policy), *(["--dry-run"] if command != "verify" else [])]) == 0
    assert "All checks passed" in (out := capsys.readouterr().out) or command == "verify", out
