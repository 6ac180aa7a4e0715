"""No program takes itself out of the baseline: whatever only it can have done is scored, and never an infra error."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Iterator

import pytest

from reprise.core.types import Status, Task
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.code.verifier import CodeVerifier

pytestmark = pytest.mark.slow

REFERENCES = {
    "call": {"function": "f", "tests": [{"args": [3], "expected": {"a": [1, {"b": 2.5}]}}]},
    "split": {"asserts": ["assert sorted(f(3)) == [738]"]},
    "tester": {"function": "f", "asserts": ["assert f(f(3)) == 738\nassert abs(f(f(4)) - 738) < max([0, f(5)])"]},
    "loop": {"function": "f", "asserts": ["for i in range(8):\n    assert f(f(i)) != f(str(i))"]},
    "stdin": {"tests": [{"stdin": "3", "stdout": "738"}]},
}

# What f returns.
RETURNS = """
10 ** 5000 | {10 ** 5000: 1} | -(16 ** 100000) | {"a": 10 ** 5000} | [10 ** 5000] * 50 | {(10 ** 5000,): {10 ** 5000}}
float("nan") | [float("inf")] | complex("nan") | {float("nan"): 1, None: 2, True: 3} | {1: 2, "1": 3} | -0.0
"\\ud800" | "\\x1b[2J\\x00\\u202e" * 999 | b"\\xff" * 999 | {"\\udfff": "\\ud800"} | "x" * (5 << 20)
["x" * 99999] * 30 | 1e308 * 10 | memoryview(b"")
nested(97) | nested(98) | nested(99) | nested(100) | nested(101) | nested(5000) | cyclic() | {"a": cyclic()}
{k * (2 ** 61 - 1): 0 for k in range(1, 9999)} | {k * (2 ** 61 - 1) for k in range(1, 9999)} | set(range(30000))
{(k * (2 ** 61 - 1),) for k in range(1, 999)} | {frozenset([k]) for k in range(999)} | range(10 ** 30) | range(9, 0, -1)
object() | f | iter([1]) | (i for i in [1]) | type | Ellipsis | NotImplemented | Exception("x") | lambda: 0
Number(3) | Text("x") | Items([1]) | Pairs(a=1) | numpy.array([[1, 2]]) | numpy.array([object()]) | numpy.float64("nan")
numpy.zeros(10 ** 5) | numpy.array(0) | numpy.bool_(True) | numpy.datetime64("2020")
[numpy] | True | None | () | "" | {}
"""
NAMES = """
import numpy
def nested(depth):
    value = []
    for _ in range(depth): value = [value]
    return value
def cyclic():
    value = []
    value.append(value)
    return value
def liar(*_, **__): raise KeyboardInterrupt
class Number(int): __index__ = __int__ = __eq__ = __hash__ = __repr__ = liar
class Text(str): __str__ = __eq__ = __repr__ = encode = liar
class Items(list): __iter__ = __len__ = __repr__ = liar
class Pairs(dict): items = keys = __iter__ = __len__ = liar
"""
# What f, or the program, does.
ACTS = r"""
raise StopIteration
raise GeneratorExit
raise KeyboardInterrupt
raise SystemExit("x" * 10 ** 6)
raise SystemExit(10 ** 5000)
raise BaseExceptionGroup("x", [KeyboardInterrupt()])
raise ValueError("\x1b]0;x\x07\ud800" * 10 ** 5)
raise type("\x1b[2J", (Exception,), {})("x")
raise type("X" * 10 ** 5, (Exception,), {"__str__": lambda self: 1 / 0})
raise type("Name", (type,), {"__name__": property(lambda self: 5)})("E", (Exception,), {})()
raise UnicodeDecodeError("utf-8", b"x", 0, 1, "x")
raise MemoryError
raise OSError(28, "no space")
import os; os.write(3, b'{"jail": "x"}\n')
import os; os.write(3, b'{"jail": "x"}\n'); os._exit(1)
import os; [os.write(fd, b'{"jail": "x"}\n') for fd in range(1, 9) if fd < 4 or os.path.exists(f"/proc/self/fd/{fd}")]
import os; os.write(3, b'{"failed": "x"}\n{"ready": true}\n'); os._exit(0)
import os; os.write(3, b'{"value": ' + b'[' * 10 ** 5); os._exit(0)
import os; os.write(3, b'x' * (5 << 20))
import os; os.close(3)
import os; os.closerange(0, 64)
import os; os.dup2(3, 1); os.dup2(1, 3)
import os; os.ftruncate(3, 1 << 20)
import os, signal; os.kill(os.getpid(), signal.SIGKILL)
import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
import os, signal; os.kill(0, signal.SIGTERM)
import os; os.kill(-1, 9)
import os; os.kill(os.getppid(), 9)
import os; os._exit(0)
import os; os._exit(255)
import os; os.abort()
import os; os.fork() and os.fork()
import ctypes; ctypes.string_at(0)
import sys; sys.setrecursionlimit(10 ** 6); g = lambda: g(); g()
import sys; sys.stdout = sys.stderr = sys.__stdout__ = None
import sys; sys.stdout.close(); sys.stderr.close()
import sys; sys.modules.clear()
import sys; sys.set_int_max_str_digits(0)
import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
import resource; resource.setrlimit(resource.RLIMIT_AS, (1, 1))
import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
import resource; resource.setrlimit(resource.RLIMIT_CPU, (0, 0))
import signal; signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ("/reprise", "/tmp", "/")]
import json; json.dumps = json.loads = None
import builtins; vars(builtins).clear()
import gc, inside.harness as h; vars(h).clear()
import atexit, os; atexit.register(os._exit, 3)
import threading; [threading.Thread(target=lambda: 1 / 0).start() for _ in range(99)]
import threading, time; threading.Thread(target=time.sleep, args=(99,)).start()
import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
import time; time.sleep(99)
x = [0] * (1 << 34)
while True: pass
while True: print("x" * 99999, flush=True)
"""


@pytest.fixture(scope="module")
def code() -> Iterator[CodeVerifier]:
    verifier = CodeVerifier(time_limit_s=0.3, memory_limit_mb=128, sandbox={"slots": 2})
    verifier.start()
    yield verifier
    verifier.close()


def returning() -> list[str]:
    values = [each.strip() for line in RETURNS.strip().splitlines() for each in line.split(" | ")]
    return [f"{NAMES}\ndef f(x): return {value}" for value in values]


def acting() -> list[str]:
    """Where it runs with the program, and where it runs with the call."""
    acts = ACTS.strip().splitlines()
    return [f"{act}\ndef f(x): return x\nprint(f(1))" for act in acts] + [
        f"def f(x):\n    {act}\n    return x\nf(3)" for act in acts
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("form", "tried"),
    [
        ("call", returning()),
        ("split", returning()),
        ("tester", returning()),
        ("loop", returning()[::3]),
        ("tester", acting()),
        ("stdin", acting()[::2]),
    ],
    ids=lambda given: given if isinstance(given, str) else f"{len(given)} programs",
)
def test_no_program_becomes_an_infra_error(code: CodeVerifier, form: str, tried: list[str]) -> None:
    task = Task("t1", "?", "code", "code", REFERENCES[form])
    code.check_task(task)
    verdicts = code.verify([Answer(task, f"```python\n{program}\n```") for program in tried])
    assert {program: v for program, v in zip(tried, verdicts, strict=True) if v.score != 0} == {}
    assert max(len(v.explanation) for v in verdicts) < 600
    assert all(v.explanation.isprintable() for v in verdicts)


def value(draw: random.Random, depth: int = 0) -> str:
    """The source of some value that may or may not leave the sandbox."""
    leaf = [
        "0",
        "-1",
        "True",
        "None",
        "2.5",
        "'a'",
        "b'a'",
        "10 ** 4400",
        "2 ** 70",
        "1e400",
        "1j",
        "range(3)",
        "object()",
    ]
    if depth > 3 or draw.random() < 0.3:
        return draw.choice(leaf)
    inner = [value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    listed = ", ".join(inner)
    pairs = ", ".join(f"k({key}): {value(draw, depth + 1)}" for key in inner)
    kinds = [
        f"[{listed}]",
        f"({listed}{',' * bool(inner)})",
        f"{{{pairs}}}",
        f"set(map(k, [{listed}]))",
        f"[{listed}] * 99",
    ]
    return draw.choice(kinds)


@pytest.fixture
def patient() -> Iterator[CodeVerifier]:
    """None of the values takes long: what is late is so because the machine is busy."""
    verifier = CodeVerifier(time_limit_s=3.0, memory_limit_mb=128, sandbox={"slots": 2})
    verifier.start()
    yield verifier
    verifier.close()


@pytest.mark.timeout(300)
def test_nor_does_any_value(patient: CodeVerifier) -> None:
    draw = random.Random(11)
    freeze = "def k(x): return x if getattr(x, '__hash__', None) and not isinstance(x, tuple) else repr(type(x))"
    tried = [f"{freeze}\ndef f(x): return {value(draw)}" for _ in range(40)]
    for form in ("call", "split", "tester"):
        task = Task("t1", "?", "code", "code", REFERENCES[form])
        verdicts = patient.verify([Answer(task, f"```python\n{program}\n```") for program in tried])
        assert {p: v for p, v in zip(tried, verdicts, strict=True) if v.score != 0} == {}


def test_the_number_of_calls_is_the_programs_doing_only_if_it_depends_on_it(
    code: CodeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.rewards.verifiers.code.tester.MAX_CALLS", 20)

    def verdict(source: str, program: str) -> tuple[Status, str]:
        task = Task("t1", "?", "code", "code", {"function": "f", "asserts": [textwrap.dedent(source)]})
        [verified] = code.verify([Answer(task, f"```python\n{program}\n```")])
        return verified.status, verified.reason

    its_own = "for i in range(1, f(0)):\n    assert f(i) == i"
    assert verdict(its_own, "def f(x): return x or 10 ** 6") == (Status.SCORED, "timeout")
    while_true = "i = 0\nwhile f(i) > 0:\n    i += 1\nassert i == 5"
    assert verdict(while_true, "def f(x): return 1")[0] is Status.SCORED
    tests = "for i in range(5000):\n    assert f(i) == i"
    assert verdict(tests, "def f(x): return x")[0] is Status.INFRA_ERROR
    assert verdict(tests, "def f(x): return 5") == (Status.SCORED, "wrong")
