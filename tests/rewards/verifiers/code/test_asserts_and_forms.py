"""Reading the tests of a code task: what is split from what, and what is refused when the data set is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.rewards.verifiers.code.asserts import Relation, read_assertion
from reprise.rewards.verifiers.code.forms import CallTest, Problem, StdinTest, read_problem
from reprise.sandbox import JobLimits


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
        ("assert f(1)", "f(1)", Relation.SAME, True),
        ("assert not f(1)", "f(1)", Relation.SAME, False),
        ("assert f(set([1])) == 1", "f(set([1]))", Relation.EQUAL, 1),
        ("assert f(lambda x: x + 1, [y for y in (1, 2)]) == 2", "f(lambda x: x + 1, [y for y in (1, 2)])", "equal", 2),
        ("assert Solution().f(1) == 2", "Solution().f(1)", Relation.EQUAL, 2),
        ("assert sorted(f(1)) == [1]", "f(1)", Relation.EQUAL, [1]),
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
        ("assert sorted(f(1), reverse=True) == [1]", ("f",)),
        ("assert sum(f(1)) == 1", ("f",)),
        ("assert isinstance(f(1), int)", ("f",)),
        ("assert f(1) == f(2)", ("f",)),
        ("assert f(1) != 2", ("f",)),
        ("assert f(1) == float('inf')", ("f",)),
        ("assert f(1) is 5", ("f",)),
        ("assert f(1) == 1 and g(2) == 2", ("f", "g")),
        ("for x in range(3):\n    assert f(x) == x", ("f",)),
        ("def check(candidate):\n    assert candidate(1) == 2\ncheck(f)", ("f",)),
        ("assert [f(x) for x in range(3)] == [0, 1, 2]", ("f",)),
        ("assert f(math.pi) == 3", ("f",)),
        ("assert f(1).strip() == 'x'", ("f",)),
    ],
)
def test_what_cannot_be_split_needs_stand_ins(source: str, stand_ins: tuple[str, ...]) -> None:
    read = read_assertion(source)
    assert (read.expression, read.stand_ins) == ("", stand_ins)


@pytest.mark.parametrize(
    ("source", "then"),
    [
        ("assert f(1)", ("bool",)),
        ("assert not len(f(1))", ("len", "bool")),
        ("assert list(f(1)) == [1]", ("list",)),
        ("assert len(set(f(1))) == 1", ("set", "len")),
        ("assert [1] == sorted(f(1))", ("sorted",)),
        ("assert f(1) == 1", ()),
    ],
)
def test_what_is_asked_of_a_value_is_asked_where_it_was_made(source: str, then: tuple[str, ...]) -> None:
    assert read_assertion(source).then == then


def test_a_builtin_that_the_task_names_or_the_setup_defines_is_none() -> None:
    assert read_assertion("assert sum(10, 15) == 6", candidate="sum").expression == "sum(10, 15)"
    assert read_assertion("assert len(f(1)) == 3", setup="def len(x): return 3").stand_ins == ("f",)
    assert read_assertion("assert list(1) == 3", candidate="list").then == ()


# Each would show the program what is expected of it, as an argument of what it may define itself.
REVEALING = [
    ("assert is_close(f(3), 738)", ""),
    ("assert is_close(f(3), 738)", "f"),
    ("assert is_close(candidate(3), 738)", "f"),
    ("assert check(f, 3, 738)", ""),
    ("assert check(f, 3, 738)", "f"),
    ("assert Approx(738) == f(3)", ""),
    ("assert f(3) == Approx(738)", "f"),
    ("assert f(g(1)) == 2", ""),
    ("assert close(*[f(3), 738])", ""),
    ("assert close(y := f(3), 738)", ""),
    ("assert close(f'{f(3)}', '738')", ""),
    ("assert close((lambda: f(3))(), 738)", ""),
    ("assert all(close(f(x), y) for x, y in [(3, 738)])", ""),
    ("got = f(3)\nassert close(got, 738)", "f"),
    ("got = f(3)\nassert close(got, 738)", ""),
    ("@fixture\ndef test(x=f(3)):\n    assert x == 738\ntest()", "f"),
    ("def test(x=close(738)):\n    assert x == f(3)\ntest()", "f"),
    ("assert helper.close(f(3), 738)", "f"),
    ("assert f(3) == 738 and close(f(4), 739)", ""),
    ("with tolerance(738):\n    assert f(3)", "f"),
    ("assert eval(f(3)) == 738", ""),
    ("import builtins\nassert builtins.eval(f(3)) == 738", "f"),
    ("import pickle\nassert pickle.loads(f(3)) == 738", "f"),
]


@pytest.mark.parametrize(("source", "function"), REVEALING)
def test_a_test_that_would_reveal_to_the_program_what_is_expected_is_refused(source: str, function: str) -> None:
    with pytest.raises(ValueError, match=r"nothing defines|would run beside"):
        read_assertion(source, candidate=function)


def test_with_the_helper_in_the_setup_it_is_none() -> None:
    helper = "def is_close(a, b): return abs(a - b) < 1"
    assert read_assertion("assert is_close(f(3), 738)", helper).stand_ins == ("f",)
    assert read_assertion("assert is_close(candidate(3), 738)", helper, "f").stand_ins == ("candidate",)
    assert read_assertion("assert check(738)", "def check(x): return f(3) == x").stand_ins == ("f",)
    assert read_assertion("assert decode(encode('a')) == 'a'", candidate="decode").expression == "decode(encode('a'))"


TREE = "root = Node(1)\nroot.left = Node(2)\nother = Node(3)\nEXPECTED = 738\nroot.left.right = root\n"


def test_a_setup_that_needs_the_programs_class_runs_there_as_far_as_the_call_needs_it() -> None:
    read = read_assertion("assert height(root) == 2", TREE)
    assert (read.expression, read.expected) == ("height(root)", 2)
    assert read.setup == "root = Node(1)\nroot.left = Node(2)\nroot.left.right = root"
    for source in ("assert height(root) == EXPECTED", "assert abs(height(root) - 2) < 1"):
        with pytest.raises(ValueError, match="`setup` needs 'Node', which only the program has"):
            read_assertion(source, TREE)


def test_names_that_are_imported_all_at_once_are_known() -> None:
    setup = "from typing import *\nfrom math import *\ndef close(a: List[float], b: float): return isclose(a[0], b)"
    assert read_assertion("assert close(f(2), pi)", setup).stand_ins == ("f",)
    assert read_assertion("from math import *\nassert isclose(f(2), pi)").stand_ins == ("f",)
    with pytest.raises(ValueError, match="nothing defines 'close', 'f'"):
        read_assertion("assert close(f(2), pi)", "from math import *")


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
