"""The reasoning-gym verifier: what a verdict is made of (with a sandbox that is scripted), and the real thing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from buffer.errors import UserError
from buffer.types import Status, Task, Verdict
from rewards.base import Answer
from rewards.contract import check_contract
from rewards.reasoning_gym import ReasoningGymVerifier
from rewards.reasoning_gym.scoring import _check_literal, _check_sympy, _guarded, makes_24
from rewards.reasoning_gym.verifier import FOOLED
from rewards.sandbox.base import Ending, Job, JobResult

SCORED = sorted(set(DATASETS) - {"composite", *FOOLED})
EVALUATING = ["countdown", "puzzle24", "polynomial_multiplication", "simple_integration", "intermediate_integration"]
EVALUATING += ["n_queens", "binary_matrix", "spiral_matrix", "string_insertion"]


def entry_task(dataset: str, seed: int = 1, **config: Any) -> Task:
    entry = reasoning_gym.create_dataset(dataset, size=3, seed=seed, **config)[0]
    return Task(dataset, entry["question"], "gym", "reasoning_gym", entry["answer"], entry["metadata"])


def task(answer: Any, **metadata: Any) -> Task:
    return Task(id="t1", prompt="?", domain="d", verifier="v", answer=answer, metadata=metadata)


class ScriptedSandbox:
    """Ends each job as `script` says for its answer; remembers the jobs."""

    def __init__(self, script: dict[str, JobResult]) -> None:
        self.script = script
        self.jobs: list[Job] = []

    def start(self) -> None: ...

    def close(self) -> None: ...

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        self.jobs += jobs
        return [self.script[job.call.args[2]] for job in jobs if job.call]


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
    verdicts = verifier.judge(answers("a", "b", "c", "d"))
    assert [(v.score, v.reason) for v in verdicts] == [(1, "correct"), (0.25, "partial"), (0, "wrong"), (0, "wrong")]
    assert "Call in a literal" in verdicts[3].explanation


@pytest.mark.parametrize("ending", ["timeout", "memory", "output_limit", "crash"])
def test_an_answer_on_which_only_its_own_scorer_run_fails_scores_0(ending: str) -> None:
    verifier, sandbox = scripted({"bomb": JobResult(Ending(ending), explanation="x"), "4": score(1.0)})
    assert verifier.judge(answers("bomb")) == [Verdict.scored(0.0, ending, "x")]
    assert len(sandbox.jobs) == 2, "the reference was tried"


def test_a_scorer_that_fails_on_the_reference_too_blames_no_answer() -> None:
    failed = JobResult(Ending.CRASH, explanation="KeyError: 'numbers'")
    verifier, _ = scripted({"5": failed, "4": failed})
    [verdict] = verifier.judge(answers("5"))
    assert verdict.status is Status.INFRA_ERROR
    assert "KeyError" in verdict.explanation


NO_SCORES = [score(value) for value in (2.0, -1.0, float("nan"), 1, True, "1", None)]
NO_SCORES += [JobResult(Ending.OK, value) for value in (None, 5, {}, {"score": 1.0}, {"score": 1.0, "refused": 0})]


@pytest.mark.parametrize("given", NO_SCORES)
def test_what_is_no_score_is_the_answers_fault_only_if_the_reference_gets_one(given: JobResult) -> None:
    verifier, _ = scripted({"5": given, "4": score(1.0)})
    [verdict] = verifier.judge(answers("5"))
    assert (verdict.score, verdict.reason) == (0.0, "invalid_result")
    verifier, _ = scripted({"5": given, "4": given})
    assert verifier.judge(answers("5"))[0].status is Status.INFRA_ERROR


@pytest.mark.parametrize(
    "result", [score(0.0, "x\x1b[2J" * 9999), JobResult(Ending.CRASH, explanation="\0" * 9999 + "\ud800")]
)
def test_explanations_are_short_and_can_be_printed(result: JobResult) -> None:
    verifier, _ = scripted({"5": result, "4": score(1.0)})
    explanation = verifier.judge(answers("5"))[0].explanation
    assert len(explanation) <= 500
    assert explanation.isprintable()


def test_a_sandbox_that_fails_is_an_infra_error() -> None:
    verifier, _ = scripted({"5": JobResult(Ending.INFRA, explanation="no bubblewrap")})
    assert verifier.judge(answers("5")) == [Verdict.infra_error("infra", "no bubblewrap")]


def test_what_is_not_found_or_too_long_is_shown_to_no_scorer() -> None:
    verifier, sandbox = scripted({}, max_chars=10)
    unfound = Answer(task("4", source_dataset="gcd"), "4")
    assert [v.reason for v in verifier.judge([unfound, *answers("x" * 11)])] == ["no_answer", "output_limit"]
    assert sandbox.jobs == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (task("4", source_dataset="chain_sums"), "no scorer of 'chain_sums' .did you mean 'chain_sum'"),
        (task("4"), "metadata.source_dataset: reasoning-gym has no scorer of None"),
        (task("4", source_dataset="composite"), "no scorer of 'composite'"),
        (task("True", source_dataset="game_of_life_halting"), "takes any text for right; judge it with"),
        (task("0.1", source_dataset="coin_flip"), 'takes "0" for right'),
        (task(None, source_dataset="propositional_logic"), "takes a premise, said again, for a conclusion"),
        (task(None, source_dataset="chain_sum"), "answer must be a reasoning-gym entry's string, not None"),
        (task("4", source_dataset="chain_sum", odd=object()), "metadata: a value of type 'object'"),
    ],
)
def test_a_task_that_no_scorer_can_judge_is_refused(asked: Task, words: str) -> None:
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


# From here on with the real sandbox.


@pytest.fixture(scope="module")
def gym() -> Iterator[ReasoningGymVerifier]:
    verifier = ReasoningGymVerifier(cpu_s=2.0)
    verifier.start()
    yield verifier
    verifier.close()


def judge(gym: ReasoningGymVerifier, asked: Task, text: str) -> Verdict:
    [verdict] = gym.judge([Answer(asked, f"<answer>{text}</answer>")])
    return verdict


@pytest.mark.slow
def test_every_data_set_accepts_its_own_reference(gym: ReasoningGymVerifier) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED]
    for asked in tasks:
        gym.check_task(asked)
    judged = [asked for asked in tasks if asked.answer is not None]
    verdicts = gym.judge([Answer(asked, f"<answer>{asked.answer}</answer>") for asked in judged])
    assert {a.id: v.detail for a, v in zip(judged, verdicts, strict=True) if v.score != 1} == {}


@pytest.mark.slow
def test_no_data_set_takes_nonsense_for_right_or_for_the_machines_fault(gym: ReasoningGymVerifier) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED]
    verdicts = gym.judge([Answer(asked, "<answer>certainly \ud800 [[</answer>") for asked in tasks])
    assert {a.id: v for a, v in zip(tasks, verdicts, strict=True) if v.score is None or v.score > 0.1} == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_guard_lets_references_of_evaluating_scorers_through(gym: ReasoningGymVerifier, seed: int) -> None:
    names = [*EVALUATING, "bitwise_arithmetic", "number_sorting"]
    tasks = [entry_task(name, seed) for name in names]
    verdicts = gym.judge([Answer(asked, f"<answer>{asked.answer}</answer>") for asked in tasks])
    assert [(v.score, a.id) for a, v in zip(tasks, verdicts, strict=True)] == [(1.0, name) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "answer", "text", "expected", "reason"),
    [
        ("chain_sum", "12", "+012.0", 1, "correct"),
        ("chain_sum", "12", "13", 0.01, "partial"),
        ("spell_backward", "cba", "CBA", 1, "correct"),
        ("gcd", "12", "1212", 0.5, "partial"),
    ],
)
def test_scores_follow_the_packages_own_rules(
    gym: ReasoningGymVerifier, dataset: str, answer: str, text: str, expected: float, reason: str
) -> None:
    verdict = judge(gym, task(answer, source_dataset=dataset), text)
    if expected > 0.1:
        assert (verdict.score, verdict.reason) == (expected, reason)
    else:
        assert verdict.score is not None
        assert verdict.score < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("text", ["nan", "inf", "nan+nanj"])
def test_what_equals_nothing_or_exceeds_everything_is_not_right(gym: ReasoningGymVerifier, text: str) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED]
    verdicts = gym.judge([Answer(asked, f"<answer>{text}</answer>") for asked in tasks])
    assert {a.id: v for a, v in zip(tasks, verdicts, strict=True) if v.score is None or v.score > 0.2} == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "answer", "metadata", "text", "expected"),
    [
        ("game_of_life", "[[0, 1], [1, 0]]", {}, "[[0, 1], [1, 0]]", 1),
        ("game_of_life", "[[0, 1], [1, 0]]", {}, "[[0, 1], [0, 0]]", 0),
        ("rectangle_count", "10", {}, "9", 0),
        ("time_intervals", "50 days", {"task_type": "date"}, "50", 1),
        ("time_intervals", "50 days", {"task_type": "date"}, "49 days", 0),
        ("knights_knaves", "Zoey is a knight, and Riley is a knave.", {}, "Riley is a knave, and Zoey is a knight.", 1),
        (
            "knights_knaves",
            "Zoey is a knight, and Riley is a knave.",
            {},
            "Zoey is a knight, and Riley is a knight.",
            0,
        ),
        ("prime_factorization", "2 × 2 × 3", {}, "12", 0),
        ("polynomial_equations", "", {}, "", 1),
        ("polynomial_equations", "", {}, '""', 1),
        ("polynomial_equations", "", {}, "none", 0),
        ("polynomial_equations", "-0.3773, 0.4005", {}, "0.4005, -0.37731", 1),
        ("polynomial_equations", "-0.3773, 0.4005", {}, "0.4", 0),
        ("puzzle24", None, {"numbers": [1, 2, 3, 4]}, "1*2*3*4", 1),
        ("puzzle24", None, {"numbers": [1, 2, 3, 4]}, "(1+2+1)*6", 0),
    ],
)
def test_nearly_is_not_right_where_the_answer_is_exact(
    gym: ReasoningGymVerifier, dataset: str, answer: str | None, metadata: dict[str, Any], text: str, expected: int
) -> None:
    assert (
        judge(gym, task("?" if answer is None else answer, source_dataset=dataset, **metadata), text).score == expected
    )


HOSTILE = [
    "\0" * 50,
    "\ud800",
    "[" * 9000,
    "(" * 9000,
    "9" * 9000,
    "1e999999",
    "{" * 5000 + "}" * 5000,
    "\u202e漢é😀" * 2000,
]
HOSTILE += [
    "nan",
    "-inf",
    "1_0",
    "0x10",
    "1,2,\n3",
    "\x1b[2J",
    "a" * 9999,
    "' \" `",
    "%s {0} \\g<9>",
    "[[null]]",
    "[true]",
]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_no_hostile_answer_is_an_infra_error_or_right(gym: ReasoningGymVerifier, part: int) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED[part::3]]
    pairs = [(asked, HOSTILE[(n + 7 * i) % len(HOSTILE)]) for n, asked in enumerate(tasks) for i in range(2)]
    verdicts = gym.judge([Answer(asked, f"<answer>{text}</answer>") for asked, text in pairs])
    assert {a.id: v for (a, _), v in zip(pairs, verdicts, strict=True) if v.score is None or v.score > 0.3} == {}
    assert all(len(v.explanation) <= 500 and v.explanation.isprintable() for v in verdicts)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_constant_answer_earns_much_without_being_right() -> None:
    """The sweep of bench/gym_constants.py over few entries; its whole table is for people."""
    done = subprocess.run(
        [sys.executable, "bench/gym_constants.py", "--entries", "4", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    found = json.loads(done.stdout)
    assert [one["dataset"] for one in found] == SCORED
    assert {one["dataset"]: one for one in found if one["error"] or one["partial"] > 0.4} == {}
    assert {one["dataset"]: one for one in found if one["fooled"]} == {}, "right for all, though they differ"


def forgeries() -> list[tuple[Task, str]]:
    """Answers that score in reasoning-gym without solving anything."""
    integral, queens, count = entry_task("simple_integration"), entry_task("n_queens"), entry_task("countdown")
    numbers = count.metadata["numbers"]
    frame = "sympify.__globals__['__builtins__']['__import__']('sys')._getframe(3).f_locals['metadata']['integrand']"
    return [
        (integral, f"integrate({integral.metadata['integrand']}, {integral.metadata['variable']})"),
        (integral, f"integrate({frame}, {integral.metadata['variable']})"),
        (queens, "__import__('inspect').stack()[1][0].f_locals['entry']['metadata']['solutions'][0]"),
        (entry_task("string_insertion"), "__import__('inspect').stack()[1][0].f_locals['oracle_answer']"),
        (count, "+".join(map(str, numbers)) + f"+({hex(abs(count.metadata['target'] - sum(numbers)))})"),
    ]


@pytest.mark.slow
def test_text_that_forges_its_score_scores_0_and_would_not_without_the_guard(gym: ReasoningGymVerifier) -> None:
    pairs = forgeries()
    submitted = [Answer(asked, f"<answer>{text}</answer>") for asked, text in pairs]
    assert [verdict.score for verdict in gym.judge(submitted)] == [0.0] * len(pairs)
    source = gym._source
    gym._source = source.replace("    install_guard(refusals)\n", "").replace("if plain is not None and", "if 0 and")
    try:
        assert all((verdict.score or 0) >= 0.1 for verdict in gym.judge(submitted)), "this test shows nothing"
    finally:
        gym._source = source


@pytest.mark.slow
@pytest.mark.parametrize("dataset", EVALUATING)
def test_programs_in_place_of_an_answer_are_not_run(gym: ReasoningGymVerifier, dataset: str) -> None:
    attacks = [
        "__import__('os').system('sleep 1')",
        "[].__class__.__base__.__subclasses__()",
        "sympify.__globals__['__builtins__']['eval']('1')",
        "exec('import os')",
        "(lambda: (yield))()",
    ]
    asked = entry_task(dataset)
    verdicts = gym.judge([Answer(asked, f"<answer>{text}</answer>") for text in attacks])
    assert [v.score for v in verdicts] == [0.0] * len(attacks)
    assert all("not evaluated" in verdict.explanation for verdict in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        ("simple_integration", "9**9**9**9*x"),
        ("polynomial_multiplication", "x**(10**10**10)"),
        ("polynomial_multiplication", "factorial(10**9)"),
        ("n_queens", "[0]*10**11"),
        ("n_queens", "9**9**9**9"),
    ],
)
def test_a_bomb_scores_0_and_the_next_answer_is_judged(gym: ReasoningGymVerifier, dataset: str, text: str) -> None:
    asked = entry_task(dataset)
    assert judge(gym, asked, text).score == 0
    assert judge(gym, asked, str(asked.answer)).score == 1


@pytest.mark.slow
def test_a_broken_entry_is_not_the_answers_fault(gym: ReasoningGymVerifier) -> None:
    verdict = judge(gym, task("1", source_dataset="kakurasu"), "5")  # lacks the metadata that its scorer reads
    assert (verdict.status, verdict.reason) == (Status.INFRA_ERROR, "infra")
    assert "reference" in verdict.explanation


@pytest.mark.slow
def test_the_reasoning_gym_verifier_keeps_the_contract() -> None:
    asked = entry_task("chain_sum")
    right, wrong = f"<answer>{asked.answer}</answer>", "<answer>-12345</answer>"
    check_contract(ReasoningGymVerifier, Answer(asked, right), Answer(asked, wrong))
