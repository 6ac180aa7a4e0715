"""Runs one program and brings its result out. The last thing in a job's process that is ours.

The program shares this process, so nothing here is secret or decides: expected answers never come in, what goes out
is only what the program could say anyway, and whoever reads it takes nothing on trust.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import io
import json
import os
import sys
import threading
import traceback
import types
from typing import Any, NoReturn

from . import values

EXIT_EXCEPTION = 1
_PROGRAM = "main.py"
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)
_ROOM = 10  # as in `sandbox.frames`
# What a data set may ask of a value instead of the value, as they were before a program could change them.
_BUILTINS = {each.__name__: each for each in (
    bool, bytes, dict, float, frozenset, int, len, list, repr, set, sorted, str, tuple,
)}  # fmt: skip


def run(payload: bytes, result_fd: int) -> NoReturn:
    """Run the program of `payload` (JSON, see `sandbox.frames.payload_of`) and end this process."""
    task = json.loads(payload)
    write, end, nonce = os.write, os._exit, task["nonce"]

    def send(what: dict[str, object]) -> None:
        text = json.dumps({"nonce": nonce, **what}).encode() + b"\n"
        while text:
            text = text[write(result_fd, text) :]

    _fresh_streams()
    code = EXIT_EXCEPTION
    try:
        try:
            if task["argv"]:
                _execute(task["argv"], task["files"])
            value = _program(task)
            code = 0
        finally:
            _finish()
        if task["call"] is not None:
            send({"value": value})
    except SystemExit as leaving:
        code = _exit_code(leaving.code)
        if task["call"] is not None:
            send({"error": "SystemExit", "message": str(leaving.code)[:200]})
    except MemoryError:
        send({"error": "MemoryError", "message": ""})
    except values.ValueRefused as error:
        send({"refused": str(error)[:500]})
    except BaseException as error:  # noqa: BLE001 - whatever the program raises is its result
        _print_traceback(error)
        send({"error": type(error).__name__[:100], "message": _text(error)})
    finally:
        end(code)
    raise AssertionError("unreachable")


def _program(task: dict[str, Any]) -> object:
    """Run the source; the encoded result of the call, if there is one."""
    call = task["call"]
    module = types.ModuleType("__main__" if call is None else "__candidate__")
    module.__dict__["__file__"] = _PROGRAM
    sys.modules[module.__name__] = module
    gc.enable()
    exec(compile(task["prelude"], "<prelude>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the recipe's
    exec(compile(task["source"], _PROGRAM, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is the sandbox
    if call is None:
        return None
    if call["expression"]:
        exec(compile(call["setup"], "<setup>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the data set's
        expression = compile(call["expression"], "<test>", "eval", dont_inherit=True)
        value = eval(expression, module.__dict__)  # noqa: S307 - the data set's
    else:
        function = _find(module, call["function"])
        value = function(*values.decode(call["args"], -_ROOM), **values.decode(call["kwargs"], -_ROOM))
    for name in call["then"]:
        value = _BUILTINS[name](value)
    return values.encode(value)


def _find(module: types.ModuleType, name: str) -> Any:
    """A global of that name, or LeetCode's form, a method of `class Solution`."""
    if hasattr(module, name):
        return getattr(module, name)
    solution = getattr(module, "Solution", None)
    if solution is not None and hasattr(solution, name):
        return getattr(solution(), name)
    raise NameError(f"the program defines no {name!r}")


def _execute(argv: list[str], files: dict[str, str]) -> NoReturn:
    """Another interpreter, or a compiler and what it made: the command replaces this process."""
    for name, content in files.items():
        with open(name, "wb") as file:
            file.write(bytes.fromhex(content))
    os.execvp(argv[0], argv)


def _fresh_streams() -> None:
    """The zygote's stream objects and arguments are not the program's."""
    streams = {
        "stdin": open(0, encoding="utf-8", closefd=False),  # noqa: SIM115 - the program's, to its end
        "stdout": open(1, "w", encoding="utf-8", closefd=False),  # noqa: SIM115
        "stderr": open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1),  # noqa: SIM115
    }
    vars(sys).update(streams | {f"__{name}__": stream for name, stream in streams.items()}, argv=[_PROGRAM])
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what `site` gives


def _finish() -> None:
    """What the interpreter does at its end: threads, exit functions (which often print), buffers."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()
    for thing in gc.get_objects():  # every other file is flushed when it is deleted
        if issubclass(type(thing), _BUFFERED):
            with contextlib.suppress(Exception):  # closed, or open for reading; the interpreter ignores it too
                thing.flush()


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return EXIT_EXCEPTION


def _print_traceback(error: BaseException) -> None:
    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != _PROGRAM:
            frames = frames.tb_next  # ours, of which the program's author need not know
        traceback.print_exception(type(error), error, frames, limit=-10)
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - an exception may be hostile to being printed
        pass


def _text(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:  # noqa: BLE001 - as above
        return ""
