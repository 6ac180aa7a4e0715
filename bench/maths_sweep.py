r"""Math-Verify's own test-suite, verified by the maths verifier: `python bench/maths_sweep.py --suite FOLDER`.

FOLDER is a checkout of Math-Verify or its `tests`. Nothing of it is imported, run or kept: the comparing cases of every
`pytest.mark.parametrize` are read with `ast`. Exit code 1 if a disagreement has no rule in `sweep_rules.py`.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sweep_rules import RULES

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

_GOLD, _PREDICTION, _EXPECTED = {"gold"}, {"pred"}, {"expected", "result"}
_SEGMENT = re.compile(r"\$\$([\s\S]+?)\$\$|(?<!\\)\$((?:[^$\\\n]|\\.)+)\$|\\\[([\s\S]+?)\\\]|\\\((.+?)\\\)")
_ANNOUNCED = re.compile(r"answer is:?\s+(\S.*?)(?:\.\s|\.?$)", re.MULTILINE)
_MAX_WORDS = 3  # what stands beside the mathematics and may still be part of an answer ("$28$ percent")


@dataclass(frozen=True, slots=True)
class Case:
    """One parametrised comparison; `index` counts within its test function, from 0."""

    test: str
    index: int
    gold: str
    prediction: str
    right: bool


@dataclass(frozen=True, slots=True)
class Verified:
    case: Case
    reference: str
    answer: str
    verdict: Verdict | None  # None: the reference was refused when it was loaded
    note: str

    @property
    def outcome(self) -> str:
        if self.verdict is None:
            return "refused"
        score = 1.0 if self.verdict.score == 1 else 0.0
        if self.verdict.status is Status.INFRA_ERROR:
            return "infra error"
        return (
            "agree" if bool(score) == self.case.right else "right, scores 0" if self.case.right else "wrong, scores 1"
        )


def main() -> int:
    arguments = _parser().parse_args()
    console = Console(width=max(Console().width, 140))
    read, skipped = _cases(arguments.suite)
    if not read:
        sys.exit(f"no comparing cases in {arguments.suite}: name a checkout of Math-Verify, or its folder `tests`")
    verified = _verify(read)
    console.print(_summary(verified, skipped))
    unexplained = [each for each in verified if each.outcome != "agree" and _rule(each.case) is None]
    needless = [each for each in verified if each.outcome == "agree" and _rule(each.case) is not None]
    for title, some in (("Disagreements without a rule", unexplained), ("Rules without a disagreement", needless)):
        if some:
            console.print(_details(title, some))
    if arguments.all:
        console.print(
            _details("Disagreements with a rule", [e for e in verified if e.outcome != "agree" and _rule(e.case)])
        )
    return 1 if unexplained or needless else 0


def _cases(suite: Path) -> tuple[list[Case], int]:
    """The comparing cases, and how many more there are that are no plain literals."""
    read: list[Case] = []
    skipped = 0
    folder = suite / "tests" if (suite / "tests").is_dir() else suite
    for path in sorted(folder.glob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for names, rows in _parametrised(function):
                for index, row in enumerate(rows):
                    try:
                        values = dict(zip(names, ast.literal_eval(row), strict=True))
                    except ValueError:
                        skipped += 1
                        continue
                    gold, prediction, expected = (
                        values[next(iter(keys & values.keys()))] for keys in (_GOLD, _PREDICTION, _EXPECTED)
                    )
                    read.append(Case(f"{path.stem}.{function.name}", index, gold, prediction, bool(expected)))
    return read, skipped


def _parametrised(function: ast.FunctionDef) -> Iterator[tuple[list[str], list[ast.expr]]]:
    for decorator in function.decorator_list:
        if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize"):
            continue
        names, rows = decorator.args
        if not (isinstance(names, ast.Constant) and isinstance(names.value, str) and isinstance(rows, ast.List)):
            continue
        keys = [name.strip() for name in names.value.split(",")]
        if all(wanted & set(keys) for wanted in (_GOLD, _PREDICTION, _EXPECTED)):
            yield keys, rows.elts


def _mathematics(text: str) -> str:
    r"""What of a text a person would put into the box: what stands behind "answer is"; else all of it where little
    stands beside the mathematics; else the last formula. A text with boxes says itself what its answer is."""
    text = text.strip()
    if re.search(r"\\boxed\s*\{", text):
        return text
    if announced := _ANNOUNCED.findall(text):
        text = announced[-1]
    segments = list(_SEGMENT.finditer(text))
    beside = re.findall(r"[A-Za-z]{2,}", _SEGMENT.sub(" ", text))
    if not segments or (len(beside) <= _MAX_WORDS and segments[0].start() == 0):
        whole = segments and segments[0].span() == (0, len(text))
        return next(group for group in segments[0].groups() if group) if whole else text
    return next(group for group in segments[-1].groups() if group)


def _verify(cases: list[Case]) -> list[Verified]:
    verifier = MathsVerifier(processes=2)
    verifier.start()
    try:
        tasks = [Task(f"{case.test}[{case.index}]", "?", "maths", "math", _mathematics(case.gold)) for case in cases]
        refused = _refused(verifier, tasks)
        return [
            _verify_one(verifier, case, task, refused.get(task.id)) for case, task in zip(cases, tasks, strict=True)
        ]
    finally:
        verifier.close()


def _refused(verifier: MathsVerifier, tasks: list[Task]) -> dict[str, str]:
    """Why tasks are refused when they are loaded, by id."""
    why, taken = {}, []
    for task in tasks:
        try:
            verifier.check_task(task)
            taken.append(task)
        except UserError as error:
            why[task.id] = str(error)
    found = verifier.check_tasks(taken, lambda looked_at: None)
    return why | {taken[place].id: fault for place, fault in found.items()}


def _verify_one(verifier: MathsVerifier, case: Case, task: Task, refusal: str | None) -> Verified:
    answer = _mathematics(case.prediction)
    if refusal is not None:
        return Verified(case, task.answer, answer, None, refusal)
    response = answer if r"\boxed" in answer else rf"\boxed{{{answer}}}"
    [verdict] = verifier.verify([Answer(task, response)])
    return Verified(case, task.answer, answer, verdict, f"{verdict.reason} {verdict.explanation}".strip())


def _rule(case: Case) -> str | None:
    return next((name for name, (_, covered) in RULES.items() if case.index in covered.get(case.test, ())), None)


def _summary(verified: list[Verified], skipped: int) -> Table:
    title = f"{len(verified)} cases of Math-Verify's suite; {skipped} more are built by code and not read"
    shown = Table(title=title, title_justify="left", title_style="bold")
    outcomes = ("agree", "right, scores 0", "wrong, scores 1", "refused", "infra error")
    shown.add_column("rule")
    for outcome in outcomes:
        shown.add_column(outcome, justify="right")
    counts = Counter((_rule(each.case) if each.outcome != "agree" else None, each.outcome) for each in verified)
    for rule in (None, *RULES):
        name = RULES[rule][0] if rule else "–"
        shown.add_row(name, *(str(counts[rule, outcome] or "") for outcome in outcomes))
    shown.add_row("all", *(str(sum(each.outcome == outcome for each in verified)) for outcome in outcomes))
    return shown


def _details(title: str, verified: list[Verified]) -> Table:
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in ("case", "reference", "answer", "outcome", "rule or reason"):
        shown.add_column(column, overflow="fold")
    for each in verified:
        texts = (text if len(text) <= 160 else "… " + text[-160:] for text in (each.reference, each.answer))
        name = f"{each.case.test}[{each.case.index}]"
        shown.add_row(*(Text(cell) for cell in (name, *texts, each.outcome, _rule(each.case) or each.note)))
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, required=True, metavar="FOLDER", help="a checkout of Math-Verify")
    parser.add_argument("--all", action="store_true", help="also show the disagreements that a rule explains")
    return parser


if __name__ == "__main__":
    sys.exit(main())
