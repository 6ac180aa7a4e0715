"""Reading the tests of a code task: what is split from what, and what is refused when the data set is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from buffer.errors import UserError
from buffer.types import Task
from rewards.code.asserts import Relation, read_assertion
from rewards.code.forms import CallTest, Problem, StdinTest, read_problem
from rewards.sandbox import JobLimits


@pytest.mark.parametrize(
    ("source", "expression", "relation", "expected"),
    [
        ("assert f(1) == 2", "f(1)", Relation.EQUAL, 2),
        ("assert 2 == f(1)", "f(1)", Relation.EQUAL, 2),
        ("assert f(1) == 2, 'a message'", "f(1)", Relation.EQUAL, 2),
        ("assert f([1, (2,)], key='x') == {'a': {1}}", "f([1, (2,)], key='x')", Relation.EQUAL, {"a": {1}}),
        ("assert f(1) == -1.5", "f(1)", Relation.EQUAL, -1.5),
        ("assert f(1) is None", "f(1)", Relation.SAME, None),
        ("assert f(1) is True", "f(1)", Relation.SAME, True),
        ("assert f(1)", "f(1)", Relation.TRUE, None),
        ("assert not f(1)", "f(1)", Relation.FALSE, None),
        ("assert f(set([1])) == 1", "f(set([1]))", Relation.EQUAL, 1),
        ("assert f(g(1)) == 2", "f(g(1))", Relation.EQUAL, 2),
    ],
)
def test_only_the_call_of_an_assertion_goes_to_the_candidate(
    source: str, expression: str, relation: Relation, expected: Any
) -> None:
    read = read_assertion(source)
    assert (read.expression, read.relation, read.expected) == (expression, relation, expected)


@pytest.mark.parametrize(
    ("source", "stand_ins"),
    [
        ("assert math.isclose(f(1), 0.5)", ("f",)),
        ("assert abs(f(1) - 0.5) < 1e-6", ("f",)),
        ("assert sorted(f(1)) == [1]", ("f",)),
        ("assert f(1) == f(2)", ("f",)),
        ("assert f(1) != 2", ("f",)),
        ("assert f(1) == float('inf')", ("f",)),
        ("assert f(1) is 5", ("f",)),
        ("assert f(1) == 1 and g(2) == 2", ("f", "g")),
        ("for x in range(3):\n    assert f(x) == x", ("f",)),
        ("def check(candidate):\n    assert candidate(1) == 2\ncheck(f)", ("f",)),
        ("assert [f(x) for x in range(3)] == [0, 1, 2]", ("f",)),
        ("assert len(f(1)) == 3", ("f",)),
    ],
)
def test_what_cannot_be_split_needs_stand_ins(source: str, stand_ins: tuple[str, ...]) -> None:
    read = read_assertion(source)
    assert (read.expression, read.stand_ins) == ("", stand_ins)


def test_what_the_setup_defines_stays_with_the_tester() -> None:
    read = read_assertion("assert f(LIMIT) == 2", setup="LIMIT = 5")
    assert (read.expression, read.stand_ins) == ("", ("f",))
    assert read_assertion("assert math.isclose(f(1), 1)").setup.startswith("import math\n")


def test_the_name_candidate_is_the_function_of_the_task() -> None:
    assert read_assertion("assert candidate(1) == 2", candidate="f").expression == "f(1)"


@pytest.mark.parametrize("source", ["assert f(1) ==", "f(1)", "assert 1 == 1", "assert len('x') == 1", "x = 5"])
def test_what_is_no_test_is_refused(source: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        read_assertion(source)


def problem(answer: Any, **metadata: Any) -> Problem:
    return read_problem(Task("t1", "?", "code", "code", answer, metadata), JobLimits())


def test_the_three_forms() -> None:
    assert problem({"tests": [{"stdin": "1", "stdout": "2"}]}).tests == (StdinTest("1", "2"),)
    called = problem({"function": "f", "tests": [{"args": [1], "kwargs": {"k": 2}, "expected": None}]})
    assert called.tests == (CallTest("f", (1,), {"k": 2}, None),)
    assert problem({"asserts": ["assert f(1) == 2"]}).tests[0].expression == "f(1)"  # type: ignore[union-attr]


def test_limits_come_from_the_task() -> None:
    limits = problem({"tests": [{"stdout": ""}]}, time_limit_s=2, memory_limit_mb=64).limits
    assert (limits.cpu_s, limits.wall_s, limits.memory_mb) == (2, 5, 64)


CALL = {"args": [], "expected": 1}
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("answer", "metadata", "message"),
    [
        (None, {}, r"answer must be an object"),
        ("2", {}, r"answer must be an object"),
        ({}, {}, r"answer needs either `tests` or `asserts`"),
        ({"tests": [], "asserts": []}, {}, r"answer needs either"),
        ({"tests": []}, {}, r"answer\.tests must be a list of at least one test"),
        ({"tests": {}}, {}, r"answer\.tests must be a list"),
        ({"tests": [{"stdin": "x"}]}, {}, r"answer\.tests\[0\]\.stdout is missing"),
        ({"tests": [{"stdout": "x"}, {"stdout": 5}]}, {}, r"answer\.tests\[1\]\.stdout must be a string, not '5'"),
        ({"tests": [{"stdout": "x", "args": []}]}, {}, r"answer\.tests\[0\]\.args is no field"),
        ({"function": "f", "tests": [{"args": []}]}, {}, r"answer\.tests\[0\]\.expected is missing"),
        ({"function": "f", "tests": [{**CALL, "args": 5}]}, {}, r"answer\.tests\[0\]\.args must be a list"),
        ({"function": "f", "tests": [{**CALL, "kwargs": []}]}, {}, r"answer\.tests\[0\]\.kwargs must be an object"),
        ({"function": "f", "tests": [{"expected": [float("nan")]}]}, {}, r"tests\[0\]\.expected holds NaN"),
        (
            {"function": "f", "tests": [{**CALL, "args": DEEP}]},
            {},
            r"tests\[0\] cannot be called: .* nested deeper than",
        ),
        ({"function": "f(", "tests": [CALL]}, {}, r"answer\.function must be the name of a function"),
        ({"function": "class", "tests": [CALL]}, {}, r"answer\.function"),
        ({"asserts": ["assert f(1) == 1", "assert f("]}, {}, r"answer\.asserts\[1\] does not parse"),
        ({"asserts": [5]}, {}, r"answer\.asserts\[0\] must be Python source"),
        ({"asserts": ["f(1)"]}, {}, r"it asserts nothing"),
        ({"asserts": ["assert f(1)"], "setup": "import ("}, {}, r"answer\.asserts\[0\] does not parse"),
        ({"tests": [{"stdout": ""}], "setup": ""}, {}, r"answer\.setup goes with"),
        ({"tests": [{"stdout": ""}], "tolerance": -1}, {}, r"answer\.tolerance must be"),
        ({"tests": [{"stdout": ""}], "tolerance": "loose"}, {}, r"answer\.tolerance must be"),
        ({"tests": [{"stdout": ""}], "tolerance": {"rel": 1}}, {}, r"answer\.tolerance must be"),
        ({"tests": [{"stdout": ""}], "test": 1}, {}, r"answer\.test is none of"),
        ({"tests": [{"stdout": ""}]}, {"time_limit_s": 0}, r"metadata\.time_limit_s must be a number above 0"),
        ({"tests": [{"stdout": ""}]}, {"memory_limit_mb": "1G"}, r"metadata\.memory_limit_mb must be a number"),
        ({"function": "f", "tests": [CALL]}, {"language": "bash"}, r"metadata\.language other than python"),
    ],
)
def test_a_bad_task_is_refused_with_its_field(answer: Any, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"task 't1': .*{message}"):
        problem(answer, **metadata)
