"""What the documents show of commands is what these print, so that it cannot go stale.

What is the same everywhere is run again and compared; of whole runs the form is compared: names of rows and columns.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_examples import examples
from rich.console import Console
from whole_runs import Run

from reprise.launch.cli import main
from reprise.launch.placement import nodes
from reprise.launch.reporting.metrics import CORE
from reprise.launch.reporting.progress import PHASES, Progress
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.launch.reporting.summary import Summary, TrajectoryCounts
from reprise.launch.reporting.verifiers import Latency

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RECIPES = ROOT / "docs" / "recipes.md"
MACHINE = nodes.Node(cpus=2, gpus=0, memory=18 * 2**30)  # that of the documents


def blocks(document: Path) -> list[str]:
    return [m[1] for m in re.finditer(r"^```\w*\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)]


def shown(document: Path) -> Iterator[tuple[str, str]]:
    """Each command of a document with the output that is shown below it."""
    for block in blocks(document):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


COMMANDS = dict(shown(RECIPES))


def run(name: str, **given: Any) -> dict[str, Any]:
    """What an example defines, with other values for some of its names."""
    module = types.ModuleType(Path(name).stem)
    sys.modules[module.__name__] = module  # as data classes and pickles would look for it
    exec(compile(examples()[name], name, "exec"), vars(module))  # noqa: S102 - our own document
    vars(module).update(given)
    return vars(module)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recipes of the document, on its machine."""
    monkeypatch.setattr(nodes, "local_nodes", lambda: [MACHINE])
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    [wrong] = [block for block in blocks(RECIPES) if "clip_hihg" in block and "extends" in block]
    (tmp_path / "recipes" / "wrong.yaml").write_text(wrong)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_what_recipes_md_shows_is_printed(command: str, machine: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(max(map(len, COMMANDS[command].splitlines())) if "dry-run" in command else 120))
    main(shlex.split(command)[1:])
    printed = "".join(capsys.readouterr())
    assert follows(COMMANDS[command], printed), f"{command} prints\n{printed}"


def test_the_verifier_of_extending_md_keeps_the_contract() -> None:
    run("vowels.py")
    run("test_vowels.py")["test_the_vowel_verifier_keeps_the_contract"]()


def test_the_recipe_of_extending_md_is_one(tmp_path: Path, capsys) -> None:
    run("vowels.py")
    (tmp_path / "vowels.yaml").write_text(examples()["vowels.yaml"])
    assert main(["recipe", str(tmp_path / "vowels.yaml")]) == 0
    assert "vowels:VowelVerifier" in capsys.readouterr().out


def test_the_loss_of_extending_md_has_the_gradient_it_says() -> None:
    run("reinforce.py")
    tests = run("test_reinforce.py")
    tests["test_on_policy_reinforce_and_grpo_have_the_same_gradient"]()


@pytest.mark.parametrize("shown", [0, 2])
def test_the_key_of_extending_md_does_what_it_says(shown: int) -> None:
    run("tests/launch/test_shown.py")["test_as_many_responses_of_a_domain_are_shown_as_the_recipe_says"](shown)
    assert "when=when,\n" in (ROOT / "launch" / "evaluation" / "held_out.py").read_text(), (
        "the line beside which the example writes"
    )


# --- whole runs, in form ----------------------------------------------------------------------------------------------

WHOLE = Summary(
    "demo",
    before=Evaluation.of([EvalRecord("reverse", str(i), 0, i < 4, True, False, 9) for i in range(9)]),
    after=Evaluation.of([EvalRecord("reverse", str(i), 0, i < 8, True, False, 9) for i in range(9)]),
    phases=dict.fromkeys(PHASES, 1.0),
    tasks={"train": 1, "held_out": 1},
    trajectories=TrajectoryCounts(sampled=9, trained=9),
    answers={"reverse": {"scored": 1}},
    verifiers={"exact": Latency(1, 0.1, 0.1, 0.1)},
    nodes={"localhost (127.0.0.1)": ["learner 0"]},
)


BESIDE = ("warning", "report", "resume")  # rows that not every run has, and lines below the table


def form(table: str) -> tuple[list[str], list[str]]:
    """The columns of a run's table, and the names of the rows below it, warnings apart."""
    lines = [line.rstrip() for line in table.splitlines()]
    [header] = [re.split(r"\s{2,}", line.strip()) for line in lines if line.strip().startswith("held-out pass@1 ")]
    rows = [m[1] for line in lines if (m := re.match(r"([A-Za-z]+( out)?)\s{2,}\S", line)) and m[1] not in BESIDE]
    return header, rows


def summed_up(document: Path) -> str:
    [table] = [block for block in blocks(document) if "held-out pass@1 " in block and "trajectories" in block]
    return table


def test_the_table_in_the_readme_has_the_columns_and_rows_of_a_run_s() -> None:
    printed = io.StringIO()
    Console(file=printed, width=200, color_system=None).print(WHOLE.table())
    assert form(summed_up(README)) == form(printed.getvalue())
    for name in form(printed.getvalue())[1]:
        shown, ours = ([line for line in text.splitlines() if line.startswith(name)] for text in
                       (summed_up(README), printed.getvalue()))  # fmt: skip
        if name not in (
            "unparseable",
            "verifiers",
            "failures",
            "mismatch",
        ):  # rows of names from the recipe, or of none
            assert words(shown[0]) == words(ours[0]), f"the row {name} of README.md"


def words(line: str) -> list[str]:
    """Without numbers, and without the plural that depends on them."""
    return re.findall(
        r"[A-Za-z][A-Za-z/-]*", re.sub(r"\d[\d,.]*[smhe]?[\d-]*[sm]?|–", " ", line.replace("actors", "actor"))
    )


def test_the_lines_of_a_run_in_the_documents_are_a_display_s() -> None:
    log = io.StringIO()
    progress = Progress("demo", stream=log)
    progress.phase("RL", 30)
    evaluated = {"eval/pass_at_1/all": 0.4, "eval/pass_at_1/vowels": 0.4, "eval/tasks/all": 50}
    progress.step(0, evaluated)
    progress._metrics = {}
    progress.step(1, dict.fromkeys(CORE, 0.5) | {"reward/vowels": 0.5})
    _, held_out, step = log.getvalue().splitlines()
    evaluation = r"held-out pass@1 0\.\d{3} \((\w+ 0\.\d\d ?)+\) over \d+ tasks$"
    assert re.search(evaluation, held_out)
    for document in (README, ROOT / "docs" / "extending.md"):
        for line in "\n".join(blocks(document)).splitlines():
            if "held-out pass@1 0" in line:
                assert re.search(evaluation, line), line
            elif re.match(r"step \d+/\d+ ·", line):
                ours = [words(part) for part in step.split("] ")[1].split(" · ")]
                assert all(words(part) in ours for part in line.split(" · ") if part != "…"), line


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_run_s_table_has_the_form_of_the_readme_s(finished: Run) -> None:
    ended = finished.output[finished.output.index("finished after") :]
    columns, rows = form(ended)
    assert (columns, rows) == form(summed_up(README))


def follows(pattern: str, text: str) -> bool:
    """Whether the text is as the pattern shows it, any lines in the place of `…`. Blanks at ends do not count."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    parts = [part.strip("\n").splitlines() for part in re.split(r"^…$", pattern.strip(), flags=re.MULTILINE)]
    place = 0
    for number, part in enumerate(parts):
        starts = range(place, len(lines) - len(part) + 1) if number else [0]
        found = next((s for s in starts if lines[s : s + len(part)] == [line.rstrip() for line in part]), None)
        if found is None:
            return False
        place = found + len(part)
    return place == len(lines)
