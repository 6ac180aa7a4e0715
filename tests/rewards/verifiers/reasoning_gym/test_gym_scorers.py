"""The reasoning-gym verifier with its scorers in the real sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from gym_tasks import EVALUATING, SCORED, entry_task, task

from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.verifiers.reasoning_gym import ReasoningGymVerifier


@pytest.fixture(scope="module")
def gym() -> Iterator[ReasoningGymVerifier]:
    verifier = ReasoningGymVerifier(cpu_s=2.0)
    verifier.start()
    yield verifier
    verifier.close()


def verify(gym: ReasoningGymVerifier, asked: Task, text: str) -> Verdict:
    [verdict] = gym.verify([Answer(asked, f"<answer>{text}</answer>")])
    return verdict


@pytest.mark.slow
def test_every_data_set_accepts_its_own_reference(gym: ReasoningGymVerifier) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED]
    for asked in tasks:
        gym.check_task(asked)
    verified = [asked for asked in tasks if asked.answer is not None]
    verdicts = gym.verify([Answer(asked, f"<answer>{asked.answer}</answer>") for asked in verified])
    assert {a.id: v.detail for a, v in zip(verified, verdicts, strict=True) if v.score != 1} == {}


@pytest.mark.slow
def test_no_data_set_takes_nonsense_for_right_or_for_the_machines_fault(gym: ReasoningGymVerifier) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED]
    verdicts = gym.verify([Answer(asked, "<answer>certainly \ud800 [[</answer>") for asked in tasks])
    assert {a.id: v for a, v in zip(tasks, verdicts, strict=True) if v.score is None or v.score > 0.1} == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_guard_lets_references_of_evaluating_scorers_through(gym: ReasoningGymVerifier, seed: int) -> None:
    names = [*EVALUATING, "bitwise_arithmetic", "number_sorting"]
    tasks = [entry_task(name, seed) for name in names]
    verdicts = gym.verify([Answer(asked, f"<answer>{asked.answer}</answer>") for asked in tasks])
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
    verdict = verify(gym, task(answer, source_dataset=dataset), text)
    if expected > 0.1:
        assert (verdict.score, verdict.reason) == (expected, reason)
    else:
        assert verdict.score is not None
        assert verdict.score < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("text", [pytest.param("nan", marks=pytest.mark.full), "inf", "nan+nanj"])
def test_what_equals_nothing_or_exceeds_everything_is_not_right(gym: ReasoningGymVerifier, text: str) -> None:
    tasks = [entry_task(dataset) for dataset in SCORED]
    verdicts = gym.verify([Answer(asked, f"<answer>{text}</answer>") for asked in tasks])
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
        verify(gym, task("?" if answer is None else answer, source_dataset=dataset, **metadata), text).score == expected
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
    verdicts = gym.verify([Answer(asked, f"<answer>{text}</answer>") for asked, text in pairs])
    assert {a.id: v for (a, _), v in zip(pairs, verdicts, strict=True) if v.score is None or v.score > 0.3} == {}
    assert all(len(v.explanation) <= 500 and v.explanation.isprintable() for v in verdicts)


@pytest.mark.slow
@pytest.mark.full  # of the pinned package, which changes with the lock only
@pytest.mark.timeout(300)
def test_no_constant_answer_earns_much_without_being_right() -> None:
    """The sweep of bench/gym_constants.py over few entries; its whole table is for readers."""
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
    assert [verdict.score for verdict in gym.verify(submitted)] == [0.0] * len(pairs)
    source = gym._source
    gym._source = source.replace("    install_guard(refusals)\n", "").replace("if plain is not None and", "if 0 and")
    try:
        assert all((verdict.score or 0) >= 0.1 for verdict in gym.verify(submitted)), "this test shows nothing"
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
    verdicts = gym.verify([Answer(asked, f"<answer>{text}</answer>") for text in attacks])
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
def test_a_bomb_scores_0_and_the_next_answer_is_verified(gym: ReasoningGymVerifier, dataset: str, text: str) -> None:
    asked = entry_task(dataset)
    assert verify(gym, asked, text).score == 0
    assert verify(gym, asked, str(asked.answer)).score == 1


@pytest.mark.slow
def test_a_broken_entry_is_not_the_answers_fault(gym: ReasoningGymVerifier) -> None:
    verdict = verify(gym, task("1", source_dataset="kakurasu"), "5")  # lacks the metadata that its scorer reads
    assert (verdict.status, verdict.reason) == (Status.INFRA_ERROR, "infra")
    assert "reference" in verdict.explanation


@pytest.mark.slow
def test_the_reasoning_gym_verifier_keeps_the_contract() -> None:
    asked = entry_task("chain_sum")
    right, wrong = f"<answer>{asked.answer}</answer>", "<answer>-12345</answer>"
    check_contract(ReasoningGymVerifier, Answer(asked, right), Answer(asked, wrong))
