"""The contract suite on somebody's class: it names what is broken, and refuses a command line that tests nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = [
    "-m",
    "pytest",
    "-q",
    "-p",
    "reprise.rewards.contract_suite.plugin",
    "--pyargs",
    "reprise.rewards.contract_suite",
]


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    task = {"id": "1", "prompt": "?", "domain": "d", "verifier": "v", "answer": "references"}
    pair = [{"task": task, "response": text} for text in ("ten chars!", "eleven char")]
    (folder / "pair.jsonl").write_text("".join(json.dumps(each) + "\n" for each in pair))
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, *SUITE, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_good_class_passes_and_a_broken_one_fails_by_name(tmp_path: Path) -> None:
    example = ["--verifier-args", '{"factor": 1}', "--answers", "pair.jsonl"]
    code, printed = run(tmp_path, "--verifier", "plugin_verifiers:LengthVerifier", *example)
    assert code == 0, printed
    code, printed = run(tmp_path, "--verifier", "plugin_verifiers:ZeroForNothing", *example)
    assert code == 1
    assert "1 failed" in printed
    assert "FAILED test_contract.py::test_a_truncated_response_without_an_answer_is_unparseable" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--verifier is missing"),
        (["--verifier", "exakt"], "there is no verifier 'exakt'; did you mean 'exact'?"),
        (["--verifier", "exact", "--verifier-args", "tag"], "--verifier-args tag: not JSON"),
        (["--verifier", "exact", "--answers", "nowhere"], "--answers nowhere cannot be read: No such file"),
    ],
)
def test_a_command_line_that_tests_nothing_is_refused_in_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, printed = run(tmp_path, *arguments)
    assert code == 4
    assert message in printed
    assert "Traceback" not in printed
