"""The code verifier on real sandboxes: what passes, what does not, and what each verdict says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.contract import check_contract
from reprise.rewards.registry import build_verifier
from reprise.rewards.settings import VerifierSettings
from reprise.rewards.verifiers.code.verifier import CodeVerifier
from reprise.sandbox import Ending, Job, JobResult

pytestmark = pytest.mark.slow

DOUBLE = {"function": "f", "tests": [{"args": [3], "expected": 6}, {"args": ["a"], "expected": "aa"}]}
PRINTED = {"tests": [{"stdin": "3\n", "stdout": "6\n"}, {"stdin": "0", "stdout": "0"}]}


@pytest.fixture(scope="module")
def code() -> Iterator[CodeVerifier]:
    verifier = CodeVerifier(time_limit_s=2.0, sandbox={"slots": 2})
    verifier.start()
    yield verifier
    verifier.close()


def answer(reference: Any, program: str, **metadata: Any) -> Answer:
    text = f"<think>```python\nraise SystemExit\n```</think>\nSo:\n```python\n{program}\n```\nThat is it."
    return Answer(Task("t1", "?", "code", "code", reference, metadata), text)


def verify(verifier: CodeVerifier, reference: Any, program: str, **metadata: Any) -> Verdict:
    [verdict] = verifier.verify([answer(reference, program, **metadata)])
    return verdict


@pytest.mark.parametrize(
    ("reference", "program"),
    [
        (DOUBLE, "def f(x): return x * 2"),
        (PRINTED, "print(int(input()) * 2)"),
        ({"function": "f", "tests": [{"args": [[2, 1]], "expected": [1, 2]}]}, "def f(x): return tuple(sorted(x))"),
        ({"function": "f", "tests": [{"kwargs": {"n": 1}, "expected": {"1": None}}]}, "def f(n): return {n: None}"),
        ({"tests": [{"stdout": "0.3333"}], "tolerance": 1e-3}, "print(1 / 3)"),
        ({"function": "f", "tests": [{"expected": 0.3}], "tolerance": 1e-9}, "def f(): return 0.1 + 0.2"),
        ({"asserts": ["assert f(1) == (1, {2})"]}, "def f(x): return x, {x + 1}"),
        (
            {"asserts": ["assert math.isclose(f(2), 1.4142136, rel_tol=1e-6)"], "setup": "import math"},
            "def f(x): return x ** 0.5",
        ),
        ({"asserts": ["for i in range(5):\n    assert f(i) == i * f(1)"]}, "def f(x): return x"),
        ({"asserts": ["assert {f(1), f(2)} == {1, 2} and g() is None"]}, "def f(x): return x\ndef g(): pass"),
        (
            {"function": "f", "asserts": ["def check(candidate):\n    assert candidate(2) == 4\ncheck(candidate)"]},
            "def f(x): return x * x",
        ),
        (
            {"asserts": ["try:\n    f(0)\nexcept ValueError as e:\n    assert str(e) == 'is 0'\nelse:\n    assert 0"]},
            "def f(x): raise ValueError(f'is {x}')",
        ),
        (
            {"asserts": ["assert f('echo')", "assert not f('kilo')"]},
            "import re\ndef f(s): return re.match('[aeiou]', s)",
        ),
        ({"asserts": ["assert list(f(3)) == [0, 1, 2]", "assert sum(f(3)) == 3"]}, "def f(n): return range(n)"),
        ({"asserts": ["assert list(f(3)) == [0, 1, 2]"]}, "def f(n):\n    yield from range(n)"),
        ({"asserts": ["assert str(f(2)) == '1/2'"]}, "from fractions import Fraction\ndef f(n): return Fraction(1, n)"),
        ({"asserts": ["assert Solution().f(2) == 4"]}, "class Solution:\n    def f(self, n): return 2 * n"),
        (
            {"asserts": ["assert length(head) == 2"], "setup": "head = Cell(1)\nhead.next = Cell(2)\nEXPECTED = 2"},
            "class Cell:\n    def __init__(self, v): self.next = None\n"
            "def length(c): return 1 + length(c.next) if c else 0",
        ),
        ({"asserts": ["assert isinstance(f(), float) and math.isinf(f())"]}, "def f(): return float('inf')"),
        (
            {"asserts": ["import random\nfor _ in range(9):\n    x = random.random()\n    assert f(x) == x * 2"]},
            "def f(x): return x * 2",
        ),
        (
            {
                "asserts": [
                    "import random, uuid\nrandom.seed()\nx = random.Random().random(), uuid.uuid4().int\n"
                    "assert sum(f(x)) == sum(x)\nassert f(x[::-1]) == x[::-1]"
                ]
            },
            "def f(x): return x",
        ),
        ({"asserts": ["for i in range(150):\n    assert f(i) == i * f(1)"]}, "def f(x): return x"),
        ({"asserts": ["x = 1\nfor i in range(9):\n    x = f(x)\nassert x == 512"]}, "def f(x): return 2 * x"),
        ({"asserts": ["x = f('a')\nassert x == 'infinity'"]}, "def f(x): return 'infinity'"),
        ({"asserts": ["import sys\nassert f(1) == 1\nsys.exit(0)"]}, "def f(x): return x"),
        ({"asserts": ["try:\n    f(0)\nexcept:\n    f(5)\nassert f(1) == 1"]}, "def f(x): return 1 / x"),
        (
            {"asserts": ["try:\n    f(0)\nexcept ZeroDivisionError:\n    pass\nelse:\n    assert False"]},
            "def f(x): return 1 / x",
        ),
    ],
)
def test_a_right_program_scores_1(code: CodeVerifier, reference: Any, program: str) -> None:
    verdict = verify(code, reference, program)
    assert (verdict.score, verdict.reason) == (1.0, "correct"), verdict


@pytest.mark.parametrize(
    ("reference", "program", "reason"),
    [
        (DOUBLE, "def f(x): return x * 3", "wrong"),
        (DOUBLE, "def f(x): return 6", "wrong"),
        (DOUBLE, "def g(x): return x * 2", "crash"),
        (DOUBLE, "def f(x): return x *", "crash"),
        (DOUBLE, "def f(x): raise KeyError", "crash"),
        (DOUBLE, "while True: pass", "timeout"),
        (DOUBLE, "def f(x): return [0] * (1 << 34)", "memory"),
        (DOUBLE, "def f(x): return 'x' * (5 << 20)", "output_limit"),
        (DOUBLE, "def f(x): return f", "invalid_result"),
        (PRINTED, "print(7)", "wrong"),
        (PRINTED, "print(int(input()) * 2); raise SystemExit(1)", "crash"),
        (PRINTED, "while True: print('x' * 1000)", "output_limit"),
        (PRINTED, "import os; os.write(1, b'\\xff\\n')", "invalid_result"),
        ({"function": "f", "tests": [{"expected": 1}]}, "def f(): return True", "wrong"),
        ({"function": "f", "tests": [{"expected": None}]}, "def f(): return float('nan')", "wrong"),
        ({"asserts": ["assert f() == (1, 2)"]}, "def f(): return [1, 2]", "wrong"),
        ({"asserts": ["assert f() is True"]}, "def f(): return 1", "wrong"),
        ({"asserts": ["assert sorted(f()) == [1, 2]"]}, "def f(): return [2, 2]", "wrong"),
        ({"asserts": ["assert sorted(f()) == [1, 2]"]}, "def f(): raise ValueError('x')", "crash"),
        ({"asserts": ["assert sum(f()) == 3"]}, "def f(): raise ValueError('x')", "wrong"),
        ({"asserts": ["assert sorted(f()) == [1, 2]"]}, "def f():\n    while True: pass", "timeout"),
        ({"asserts": ["assert len(str(f()) + '') == 3"]}, "def f(): return object()", "invalid_result"),
        ({"asserts": ["assert all(map(f, [1]))"]}, "def f(x): raise StopIteration", "wrong"),
        ({"asserts": ["assert not any(map(f, [1]))"]}, "def f(x): raise StopIteration", "wrong"),
        ({"asserts": ["assert [*filter(f, [1])] == []"]}, "def f(x): raise StopAsyncIteration", "wrong"),
        ({"asserts": ["assert not [f(x) for x in [1]][0] > 1"]}, "def f(x): raise GeneratorExit", "wrong"),
        ({"asserts": ["assert not abs(f(1) - 738) > 0.1"]}, "def f(x): return float('nan')", "invalid_result"),
        ({"asserts": ["assert max([0] + [abs(f(1) - 738)]) < 0.1"]}, "def f(x): return 1e999 * 0", "invalid_result"),
        ({"asserts": ["assert not 738 / f(1) > 0.1"]}, "def f(x): return 1e999", "invalid_result"),
        ({"asserts": ["assert not abs(float(f(1)) - 738) > 0.1"]}, "def f(x): return ' NaN '", "invalid_result"),
        ({"asserts": ["assert not f(1)[0] > 5"]}, "def f(x): return [{'a': complex('nan')}]", "invalid_result"),
        ({"asserts": ["assert f()"]}, "class Yes:\n    __bool__ = lambda self: 1 / 0\nf = Yes", "crash"),
        ({"asserts": ["assert len(f()) == 3"]}, "len = lambda x: 3\ndef f(): return 0", "crash"),
        ({"asserts": ["assert list(f()) == [1]"]}, "list = lambda x: [1]\ndef f(): return 0", "crash"),
    ],
)
def test_a_program_that_fails_scores_0_and_says_why(
    code: CodeVerifier, reference: Any, program: str, reason: str
) -> None:
    verdict = verify(code, reference, program, time_limit_s=0.5, memory_limit_mb=128)
    assert (verdict.score, verdict.reason) == (0.0, reason), verdict
    assert verdict.detail["failed_test"] in (0, 1)


def test_the_first_failing_test_decides_the_verdict(code: CodeVerifier) -> None:
    tests = [{"args": [i], "expected": i} for i in range(4)]
    verdict = verify(code, {"function": "f", "tests": tests}, "def f(x): return x if x != 1 else -1")
    assert verdict.detail == {"reason": "wrong", "explanation": "test 1", "passed": 1, "tests": 4, "failed_test": 1}


def test_partial_credit_is_the_share_of_tests() -> None:
    verifier = CodeVerifier(partial=True, sandbox={"slots": 1})
    tests = [{"args": [i], "expected": i} for i in range(4)]
    try:
        verdicts = [
            verify(verifier, {"function": "f", "tests": tests}, program)
            for program in ("def f(x): return x", "def f(x): return x if x != 1 else -1", "def f(x): return None")
        ]
    finally:
        verifier.close()
    assert [(v.score, v.reason) for v in verdicts] == [(1.0, "correct"), (0.75, "partial"), (0.0, "wrong")]


@pytest.mark.parametrize("text", ["", "def f(x): return 2 * x", "```python\ndef f(x): return x", "<think>```\nx\n```"])
def test_without_a_complete_code_block_there_is_no_answer(code: CodeVerifier, text: str) -> None:
    task = Task("t1", "?", "code", "code", DOUBLE)
    [verdict] = code.verify([Answer(task, text)])
    assert (verdict.status, verdict.reason) == (Status.UNPARSEABLE, "no_answer")


def test_equal_programs_of_a_group_are_run_once(code: CodeVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Job] = []
    run_one = code.pool.run_one
    monkeypatch.setattr(code.pool, "run_one", lambda job, *_: ran.append(job) or run_one(job))
    task = Task("t1", "?", "code", "code", DOUBLE)
    right, wrong = ("```\ndef f(x): return x * 2\n```", "```\ndef f(x): return x\n```")
    verdicts = code.verify([Answer(task, text) for text in (right, wrong, right, right, "none", wrong)])
    assert [verdict.score for verdict in verdicts] == [1, 0, 1, 1, None, 0]
    assert len(ran) == 3, "two tests of the right program, and one that the wrong one fails"


def test_expected_values_never_enter_the_sandbox(code: CodeVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(code.pool, "run_one", lambda job, *_: jobs.append(job) or JobResult(Ending.OK))
    for reference in (
        {"tests": [{"stdin": "in", "stdout": "EXPECTED"}]},
        {"function": "f", "tests": [{"args": ["in"], "expected": "EXPECTED"}]},
        {"asserts": ["assert f('in') == 'EXPECTED'", "assert 'EXPECTED' == f('in')"]},
    ):
        verify(code, reference, "CANDIDATE")
    assert len(jobs) == 3
    assert all("CANDIDATE" in repr(job) and "in" in repr(job) for job in jobs)
    assert not any("EXPECTED" in repr(job) for job in jobs)


def test_of_an_assertion_that_cannot_be_split_the_two_sides_never_meet(
    code: CodeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    run_one = code.pool.run_one
    monkeypatch.setattr(code.pool, "run_one", lambda job, *_: jobs.append(job) or run_one(job))
    verdict = verify(
        code, {"asserts": ["assert max(f(1), f(2)) == 424242"]}, "def f(x): return 424200 + 21 * x  # CANDIDATE"
    )
    assert verdict.score == 1
    assert {("424242" in repr(job), "CANDIDATE" in repr(job)) for job in jobs} == {(True, False), (False, True)}


def test_a_test_that_fails_by_itself_is_not_the_programs_fault(code: CodeVerifier) -> None:
    reference = {"asserts": ["while True:\n    pass\nassert f(1)"]}
    verdict = verify(code, reference, "def f(x): return x", time_limit_s=0.3)
    assert verdict.status is Status.INFRA_ERROR
    assert "the test itself" in verdict.explanation


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_module\nassert f(1)", "the test itself failed before any call: .*no_such_module"),
        ("import time\nassert f(time.time()) > 1", "the test itself calls the program otherwise each time"),
    ],
)
def test_a_test_that_cannot_be_verified_is_not_the_programs_fault(code: CodeVerifier, source: str, why: str) -> None:
    verdict = verify(code, {"asserts": [source]}, "def f(x): return x")
    assert (verdict.status, verdict.detail["reason"]) == (Status.INFRA_ERROR, "infra")
    assert re.search(why, verdict.explanation)


@pytest.mark.parametrize(
    "program",
    [
        "import sys, io\nheld = sys.stdout = io.StringIO()\nprint(6)\nsys.__stdout__.write(held.getvalue())",
        "import atexit, sys, io\nsys.stdout = io.StringIO()\natexit.register(sys.__stdout__.write, '6')",
        "import os\nout = os.fdopen(1, 'w')\nout.write('6')",
        "import os\nout = os.fdopen(os.dup(1), 'wb')\nout.write(b'6')",
        "out = open('/dev/stdout', 'w')\nout.write('6')",
        "import os\ndef main():\n    kept.append(os.fdopen(1, 'w'))\n    kept[0].write('6')\nkept = []\nmain()",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print(6))).start()",
        "import sys\nprint(6)\nsys.stdout.close()",
        "import sys\nprint(6, flush=True)\nsys.stdout = None",
        "import sys\nprint(6)\nsys.stdout = open('/dev/null', 'w')",
        "import sys\nprint(6)\nsys.exit()",
        "import threading, time\nprint(6)\n"
        "threading.Thread(target=lambda: (time.sleep(9), print(7)), daemon=True).start()",
    ],
)
def test_output_is_all_that_was_written_when_an_interpreter_ends(code: CodeVerifier, program: str) -> None:
    verdict = verify(code, {"tests": [{"stdout": "6"}]}, program)
    assert verdict.score == 1, verdict


def test_a_limit_that_does_not_fit_the_deadline_is_refused() -> None:
    verifier = CodeVerifier()
    task = answer(PRINTED, "", time_limit_s=30).task
    verifier.check_task(task)
    verifier.within(120)
    message = r"time_limit_s 30 does not fit the verifier's deadline_s 120: .* 124 s"
    with pytest.raises(UserError, match=message):
        verifier.check_task(task)
    verifier.check_task(answer(PRINTED, "", time_limit_s=29).task)


def test_the_recipes_deadline_reaches_the_verifier_that_is_a_part_too() -> None:
    task = answer(PRINTED, "", time_limit_s=3).task
    uses: dict[str, dict[str, object]] = {"code": {}, "compose": {"parts": {"tests": {"use": "code"}}}}
    for use, args in uses.items():
        within = build_verifier("v", VerifierSettings(use=use, args=args, deadline_s=16))
        within.check_task(task)
        short = build_verifier("v", VerifierSettings(use=use, args=args, deadline_s=15))
        with pytest.raises(UserError, match="does not fit the verifier's deadline_s 15"):
            short.check_task(task)


def test_an_answer_that_idles_in_every_test_ends_in_time() -> None:
    verifier = CodeVerifier(partial=True, time_limit_s=0.1, sandbox={"slots": 1})
    verifier.within(6.5)
    tests = [{"args": [i], "expected": i} for i in range(20)]
    try:
        verdict = verify(verifier, {"function": "f", "tests": tests}, "import time\ndef f(x): time.sleep(9)")
    finally:
        verifier.close()
    assert (verdict.score, verdict.reason) == (0, "timeout")


def test_time_that_results_take_outside_the_sandbox_counts_to_an_answers_time(
    code: CodeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen before: 60 s for an answer that was given 22, and its verifier killed for it."""
    jobs = []

    def run(job: Job, patient: bool) -> JobResult:
        jobs.append(job)
        end = time.thread_time() + 0.5  # as reading it does
        while time.thread_time() < end:
            pass
        return JobResult(Ending.OK, value=0, wall_s=0.1)

    monkeypatch.setattr(code.pool, "run_one", run)
    monkeypatch.setattr(code, "_partial", True)
    monkeypatch.setattr(code, "_deadline_s", 6.5)
    tests = [{"args": [i], "expected": i + 1} for i in range(50)]
    assert verify(code, {"function": "f", "tests": tests}, "f = abs", time_limit_s=0.1).reason == "wrong"
    assert len(jobs) < 7, "of 3.3 s each took 0.6"


def test_a_program_that_is_too_long_is_not_run(code: CodeVerifier) -> None:
    verdict = verify(code, DOUBLE, "#" * 100_001)
    assert (verdict.score, verdict.reason) == (0.0, "output_limit")


def test_a_prelude_runs_before_each_program() -> None:
    typed = "class Solution:\n    def f(self, x: List[int]) -> int: return len(x)"
    verifier = CodeVerifier(prelude="from typing import *", sandbox={"slots": 1})
    reference = {"function": "f", "tests": [{"args": [[1, 2]], "expected": 2}]}
    try:
        assert verify(verifier, reference, typed).score == 1
    finally:
        verifier.close()


def test_other_languages_run_by_their_command() -> None:
    languages: dict[str, dict[str, object]] = {"Bash": {"file": "main.sh", "argv": ["bash", "main.sh"]}}
    verifier = CodeVerifier(languages=languages, sandbox={"backend": "oneshot", "slots": 1})
    try:
        right = answer(PRINTED, "read x; echo $((x * 2))", language="bash")
        verifier.check_task(right.task)
        wrong = answer(PRINTED, "curl localhost || echo 7", language="bash")
        assert [verdict.score for verdict in verifier.verify([right, wrong])] == [1, 0]
        with pytest.raises(UserError, match=r"metadata\.language 'cobol' is not python.*\(bash\)"):
            verifier.check_task(answer(PRINTED, "", language="cobol").task)
    finally:
        verifier.close()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"languages": {"c": {"file": "a/b", "argv": ["cc"]}}}, "languages.c must be"),
        ({"sandbox": {"backend": "docker"}}, "backend"),
        ({"sandbox": {"backend": "remote"}}, "remote_url"),
        ({"sandbox": {"slot": 1}}, "slot"),
        ({"time_limit_s": 0.0}, "time_limit_s"),
        ({"prelude": "import ("}, "invalid syntax"),
    ],
)
def test_bad_arguments_are_refused(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodeVerifier(**args)


def test_the_code_verifier_keeps_the_contract() -> None:
    right, wrong = answer(DOUBLE, "def f(x): return x * 2"), answer(DOUBLE, "def f(x): return x")
    check_contract(lambda: CodeVerifier(sandbox={"slots": 1}), right, wrong)
