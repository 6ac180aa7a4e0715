"""The tester's program: it runs in a sandbox of its own, with the test in it and nothing of the candidate's.

`run` runs the test with stand-ins for what the candidate defines. A call whose result is not known yet ends it and says
which call that is. `foresee` runs the test with a result that goes along with everything, to see what it will call.
"""

import ast
import builtins
import contextlib
import copy
import sys
from collections.abc import Callable, Iterator


class _CallNeeded(BaseException):
    pass


class _Enough(BaseException):
    pass


def run(
    source: str, setup: str, names: list[str], candidate: str, answers: dict[str, list[object]], asked: str
) -> list[object]:
    """["passed"], ["failed", why], ["call", key, name, args, kwargs], or ["wavers"] if it does not ask for that again.

    answers  by key: [True, value], or [False, name of the exception, its message]
    asked    the key that the test asked for when it was run before; "" for none
    """
    needed: list[object] = []
    used = {""}

    def call(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        key = _key(name, args, kwargs)
        used.add(key)
        if needed or key not in answers:  # `needed`: the test has caught the exception and goes on
            needed.extend(["call", key, name, list(args), kwargs] if not needed else [])
            raise _CallNeeded
        returned, *rest = answers[key]
        if returned:
            return copy.deepcopy(rest[0])
        raise _exception(*map(str, rest))

    outcome: list[object] = ["passed"]
    try:
        _execute(source, source, setup, names, candidate, call)
    except _CallNeeded:
        pass
    except SystemExit as leaving:  # as unittest.main does
        outcome = ["failed", f"SystemExit: {leaving.code}"] if leaving.code else outcome
    except Exception as error:  # noqa: BLE001 - whatever the test raises
        outcome = ["failed", f"{type(error).__name__}: {error}"[:300]]
    if asked not in used:
        return ["wavers"]
    return needed or outcome


def foresee(source: str, setup: str, names: list[str], candidate: str, truth: bool, most: int) -> list[object]:
    """The calls that the test would make, each [key, name, args, kwargs], if whatever it asks of results were `truth`.

    `most` + 1 at most.
    """
    found: dict[str, object] = {}
    left = [2 * most]

    def call(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        left[0] -= 1
        if "<any>" not in repr((args, kwargs)):  # else it depends on an earlier result
            key = _key(name, args, kwargs)
            found[key] = copy.deepcopy([key, name, list(args), kwargs])
        if len(found) > most or left[0] <= 0:
            raise _Enough
        return _any(truth)

    with contextlib.suppress(_Enough, SystemExit, Exception):
        _execute(_Unasserted().visit(ast.parse(source)), source, setup, names, candidate, call)
    return list(found.values())


def _execute(
    code: str | ast.Module, source: str, setup: str, names: list[str], candidate: str, call: Callable[..., object]
) -> None:
    def stand_in(name: str) -> Callable[..., object]:
        return lambda *args, **kwargs: call(name, args, kwargs)

    if any(word in source + setup for word in ("random", "secrets", "uuid")):
        _draw_the_same_each_time()
    scope: dict[str, object] = {"__name__": "__test__", "__builtins__": builtins}
    exec(compile(setup, "<setup>", "exec"), scope)  # noqa: S102 - the data set's
    for name in names:
        scope[name] = stand_in(candidate if candidate and name == "candidate" else name)
    exec(compile(code, "<test>", "exec"), scope)  # noqa: S102 - the data set's


def _key(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    text = repr((name, args, kwargs))
    if len(text) <= 1000:
        return text
    import hashlib  # takes longer than most tests

    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _exception(name: str, message: str) -> Exception:
    """Of the same type, if it is a built-in one that does not steer iterators, which would hide it."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (StopIteration, StopAsyncIteration):
        try:
            return kind(message)
        except TypeError:  # its constructor wants more
            pass
    return Exception(f"{name}: {message}")


def _draw_the_same_each_time() -> None:
    """The test is run from its beginning more than once: what it draws must not differ."""
    import os
    import random

    random.seed(0)
    seed, plain = random.seed, random.Random
    same = {"__init__": lambda self, x=None: plain.__init__(self, 0 if x is None else x)}
    vars(random).update(
        seed=lambda a=None, version=2: seed(0 if a is None else a, version),
        Random=type("Random", (plain,), same),
        _urandom=plain(1).randbytes,
    )
    os.urandom = vars(random)["_urandom"]
    if "numpy" in sys.modules:
        drawing = sys.modules["numpy"].random
        drawing.seed(0)
        default_rng = drawing.default_rng
        drawing.default_rng = lambda seed=None: default_rng(0 if seed is None else seed)


class _Unasserted(ast.NodeTransformer):
    """The test without its verdict."""

    def visit_Assert(self, node: ast.Assert) -> ast.Expr:
        return ast.copy_location(ast.Expr(node.test), node)


_GIVES_ITSELF = """add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow neg pos abs round
    getitem call and or xor invert lshift rshift divmod matmul enter"""


def _any(truth: bool) -> object:
    """A result that goes along with everything."""

    class Anything:
        def __getattr__(self, name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(name)
            return self

        def __iter__(self) -> Iterator[object]:
            return iter(())

    itself = Anything()
    for name in _GIVES_ITSELF.split():
        setattr(Anything, f"__{name}__", lambda *_, **__: itself)
    for name in ("bool", "eq", "ne", "lt", "le", "gt", "ge", "contains"):
        setattr(Anything, f"__{name}__", lambda *_: truth)
    for name, value in {"len": 0, "hash": 0, "int": 0, "index": 0, "float": 0.0, "repr": "<any>", "exit": None}.items():
        setattr(Anything, f"__{name}__", lambda *_, value=value: value)
    return itself
