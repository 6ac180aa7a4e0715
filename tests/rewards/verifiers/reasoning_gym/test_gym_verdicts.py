"""What a verdict of the reasoning-gym verifier is made of, with a sandbox that is scripted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from gym_tasks import task

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.reasoning_gym import ReasoningGymVerifier
from reprise.rewards.verifiers.reasoning_gym.scoring import _check_literal, _check_sympy, _guarded, makes_24
from reprise.sandbox.base import Ending, Job, JobResult


class ScriptedSandbox:
    """Ends each job as `script` says for its answer; remembers the jobs."""

    def __init__(self, script: dict[str, JobResult]) -> None:
        self.script = script
        self.jobs: list[Job] = []
        self.notes = ["programs run in the sandbox backend landlock"]

    def start(self) -> None: ...

    def close(self) -> None: ...

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        self.jobs += jobs
        return [self.script[str(job.call.args[2])] for job in jobs if job.call]


def scripted(script: dict[str, JobResult], **args: Any) -> tuple[ReasoningGymVerifier, ScriptedSandbox]:
    verifier = ReasoningGymVerifier(**args)
    verifier.pool = sandbox = ScriptedSandbox(script)
    return verifier, sandbox


def score(value: Any, refused: str = "") -> JobResult:
    return JobResult(Ending.OK, {"score": value, "refused": refused})


def answers(*texts: str) -> list[Answer]:
    return [Answer(task("4", source_dataset="gcd"), f"<answer>{text}</answer>") for text in texts]


def test_the_scorers_number_is_the_score() -> None:
    verifier, _ = scripted({"a": score(1.0), "b": score(0.25), "c": score(0.0), "d": score(0.0, "Call in a literal")})
    verdicts = verifier.verify(answers("a", "b", "c", "d"))
    assert [(v.score, v.reason) for v in verdicts] == [(1, "correct"), (0.25, "partial"), (0, "wrong"), (0, "wrong")]
    assert "Call in a literal" in verdicts[3].explanation


def test_a_weaker_sandbox_is_reported() -> None:
    verifier, sandbox = scripted({})
    assert verifier.notes() == sandbox.notes


@pytest.mark.parametrize("ending", ["timeout", "memory", "output_limit", "crash"])
def test_an_answer_on_which_only_its_own_scorer_run_fails_scores_0(ending: str) -> None:
    verifier, sandbox = scripted({"bomb": JobResult(Ending(ending), explanation="x"), "4": score(1.0)})
    assert verifier.verify(answers("bomb")) == [Verdict.scored(0.0, ending, "x")]
    assert len(sandbox.jobs) == 2, "the reference was tried"


def test_a_scorer_that_fails_on_the_reference_too_blames_no_answer() -> None:
    failed = JobResult(Ending.CRASH, explanation="KeyError: 'numbers'")
    verifier, _ = scripted({"5": failed, "4": failed})
    [verdict] = verifier.verify(answers("5"))
    assert verdict.status is Status.INFRA_ERROR
    assert "KeyError" in verdict.explanation


NO_SCORES = [score(value) for value in (2.0, -1.0, float("nan"), 1, True, "1", None)]
NO_SCORES += [JobResult(Ending.OK, value) for value in (None, 5, {}, {"score": 1.0}, {"score": 1.0, "refused": 0})]


@pytest.mark.parametrize("given", NO_SCORES)
def test_what_is_no_score_is_the_answers_fault_only_if_the_reference_gets_one(given: JobResult) -> None:
    verifier, _ = scripted({"5": given, "4": score(1.0)})
    [verdict] = verifier.verify(answers("5"))
    assert (verdict.score, verdict.reason) == (0.0, "invalid_result")
    verifier, _ = scripted({"5": given, "4": given})
    assert verifier.verify(answers("5"))[0].status is Status.INFRA_ERROR


@pytest.mark.parametrize(
    "result", [score(0.0, "x\x1b[2J" * 9999), JobResult(Ending.CRASH, explanation="\0" * 9999 + "\ud800")]
)
def test_explanations_are_short_and_can_be_printed(result: JobResult) -> None:
    verifier, _ = scripted({"5": result, "4": score(1.0)})
    explanation = verifier.verify(answers("5"))[0].explanation
    assert len(explanation) <= 500
    assert explanation.isprintable()


def test_a_sandbox_that_fails_is_an_infra_error() -> None:
    verifier, _ = scripted({"5": JobResult(Ending.INFRA, explanation="no bubblewrap")})
    assert verifier.verify(answers("5")) == [Verdict.infra_error("infra", "no bubblewrap")]


def test_what_nobody_sees_is_not_shown_to_a_scorer_unless_its_reference_has_it() -> None:
    verifier, sandbox = scripted({"4": score(1.0), "4\u200b": score(1.0)})
    shown = Answer(task("\u200b", source_dataset="gcd"), "<answer>4\u200b</answer>")
    assert [v.score for v in verifier.verify([*answers("\ufeff4\u2060 "), shown])] == [1, 1]
    assert [job.call.args[2] for job in sandbox.jobs if job.call] == ["4", "4\u200b"]


def test_what_is_not_found_or_too_long_is_shown_to_no_scorer() -> None:
    verifier, sandbox = scripted({}, max_chars=10)
    unfound = Answer(task("4", source_dataset="gcd"), "4")
    assert [v.reason for v in verifier.verify([unfound, *answers("x" * 11)])] == ["no_answer", "output_limit"]
    assert sandbox.jobs == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (task("4", source_dataset="chain_sums"), "no scorer of 'chain_sums' .did you mean 'chain_sum'"),
        (task("4"), "metadata.source_dataset: reasoning-gym has no scorer of None"),
        (task("4", source_dataset="composite"), "no scorer of 'composite'"),
        (task("True", source_dataset="game_of_life_halting"), "takes any text for right; use the math"),
        (task("0.1", source_dataset="coin_flip"), 'takes "0" for right'),
        (task(None, source_dataset="propositional_logic"), "takes a premise, said again, for a conclusion"),
        (task(None, source_dataset="chain_sum"), "answer must be a reasoning-gym entry's string, not None"),
        (task("4", source_dataset="chain_sum", odd=object()), "metadata: a value of type 'object'"),
    ],
)
def test_a_task_that_no_scorer_can_verify_is_refused(asked: Task, words: str) -> None:
    with pytest.raises(UserError, match=f"task 't1': .*{words}"):
        ReasoningGymVerifier().check_task(asked)


MATHEMATICS = ["Integer (2 )*Symbol ('x' )**Integer (3 )", "sin (Symbol ('x' ))+pi", "-x/Integer(3)+C", "Float('0.5')"]
PROGRAMS = [
    "__import__('os')",
    "sympify('1')",
    "integrate(Symbol('x'), Symbol('x'))",
    "Symbol('x').__class__",
    "Symbol('x')[0]",
    "Symbol('x', real=True)",
    "Function('f')('__import__(1)')",
    "(lambda: 1)()",
    "[x for x in (1,)]",
    "x if C else 1",
    "x and C",
    "x < C",
    "'text'",
    "sin('text')",
    "f'{x}'",
    "(y := 1)",
    "print(1)",
    "Integer",
    "b''",
    "True",
]


@pytest.mark.parametrize("text", MATHEMATICS)
def test_mathematics_is_let_through(text: str) -> None:
    import sympy

    refusals: list[str] = []
    names = {name: getattr(sympy, name) for name in ("Integer", "Symbol", "Float", "sin", "pi")}
    _guarded(_check_sympy, refusals)(text, names, {"x": sympy.Symbol("x"), "C": sympy.Symbol("C")})
    assert refusals == []


@pytest.mark.parametrize("text", PROGRAMS)
def test_anything_else_is_refused(text: str) -> None:
    refusals: list[str] = []
    with pytest.raises(ValueError, match="refused"):
        _guarded(_check_sympy, refusals)(text, {}, {"x": 1, "C": 2})
    assert len(refusals) == 1


def test_a_literal_is_read_and_nothing_that_runs() -> None:
    refusals: list[str] = []
    read = _guarded(_check_literal, refusals)
    assert read(" [[1, -2], ('a', 0x10 | 1), {'b': 2**3}] ") == [[1, -2], ("a", 17), {"b": 8}]
    for text in ("abc", "f()", "[x for x in (1,)]", "().__class__", "f'{1}'", "[1][0]", "lambda: 1", "(" * 300, "\0"):
        with pytest.raises(ValueError, match="refused"):
            read(text)


@pytest.mark.parametrize(
    "text", ["(1+2+1)*6", "6/(1-3/4)", "-(1-3/4)+6*4", "6*4*(3-1)/2", "6*4", "1+3+4+6+10", "46*1/3", "24"]
)
@pytest.mark.parametrize("numbers", [[1, 3, 4, 6]])
def test_a_puzzle_takes_the_numbers_given_once_each_and_exactly_24(text: str, numbers: list[int]) -> None:
    assert makes_24(text, numbers) is (text == "6/(1-3/4)")


@pytest.mark.parametrize(
    "text", ["", "(", "1/0", "24.5", "'24'", "f(1)", "2**3*3", "8//1*3", "((" * 500, "\0", "True*24"]
)
def test_what_is_no_arithmetic_solves_no_puzzle(text: str) -> None:
    assert not makes_24(text, [1, 24])


def test_a_number_that_stands_twice_is_used_twice() -> None:
    assert [makes_24(text, [2, 2, 3, 3]) for text in ("2*2*3*3-12", "2*3+2*3+12", "(2+2)*(3+3)", "2*3*(2+3)")] == [
        False,
        False,
        True,
        False,
    ]
