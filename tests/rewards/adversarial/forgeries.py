"""Programs that write their own result, or spoil it."""

from __future__ import annotations

from hostile import CRASH, INVALID, OK, OUTPUT_LIMIT, program

from reprise.sandbox import Call

_TEXT = Call("f", ["x"])
FORGERIES = [
    program(
        "a fake frame, then the end",
        INVALID,
        call=_TEXT,
        source="import os\nos.write(3, b'{\"value\": 42}\\n')\nos._exit(0)",
    ),
    program(
        "a fake frame before the real one",
        INVALID,
        call=_TEXT,
        source="import os\nos.write(3, b'{\"value\": 42}\\n')\ndef f(x): return x",
    ),
    program(
        "a frame with a guessed nonce",
        INVALID,
        call=_TEXT,
        source='import os\nos.write(3, b\'{"nonce": "0", "value": 42}\\n\')\nos._exit(0)',
    ),
    program(
        "the real frame twice",
        INVALID,
        call=_TEXT,
        source="""
        import os, sys
        frame = sys._getframe()
        while "nonce" not in frame.f_locals: frame = frame.f_back
        text = b'{"nonce": "%s", "value": 42}\\n' % frame.f_locals["nonce"].encode()
        os.write(3, text + text)
        os._exit(0)
        """,
    ),
    program("half a frame", INVALID, call=_TEXT, source="import os\nos.write(3, b'{\"value\"')\nos._exit(0)"),
    program(
        "a frame that is not UTF-8", INVALID, call=_TEXT, source="import os\nos.write(3, b'\\xff\\n')\nos._exit(0)"
    ),
    program(
        "a frame with duplicate keys",
        INVALID,
        call=_TEXT,
        source='import os\nos.write(3, b\'{"value": 1, "value": 2}\\n\')\nos._exit(0)',
    ),
    program(
        "a deeply nested frame",
        INVALID,
        call=_TEXT,
        source="import os\nos.write(3, b'[' * 500_000 + b']' * 500_000 + b'\\n')\nos._exit(0)",
    ),
    program(
        "an oversized frame",
        OUTPUT_LIMIT,
        call=_TEXT,
        source="import os\ntry:\n    while True: os.write(3, b'x' * 65536)\nexcept OSError: os._exit(0)",
    ),
    program("a frame nobody asked for", INVALID, source='import os\nos.write(3, b\'{"nonce": "0", "value": 42}\\n\')'),
    program("an oversized value", OUTPUT_LIMIT, call=_TEXT, source="def f(x): return x * (2 << 20)"),
    program(
        "a deeply nested value",
        INVALID,
        call=_TEXT,
        source="def f(x):\n    for _ in range(10_000): x = [x]\n    return x",
    ),
    program("a value that holds itself", INVALID, call=_TEXT, source="def f(x):\n    x = []; x.append(x); return x"),
    program("a value of its own class", INVALID, call=_TEXT, source="class V: pass\ndef f(x): return V()"),
    program("a lone surrogate", OK, call=_TEXT, source="def f(x): return '\\ud800'"),
    program("the result closed", CRASH, call=_TEXT, source="import os\nos.close(3)\ndef f(x): return x"),
    program("sys.exit before the call", CRASH, call=_TEXT, source="import sys\nsys.exit(0)"),
    program("os._exit before the call", CRASH, call=_TEXT, source="import os\nos._exit(0)"),
    program("a function that is not there", CRASH, call=_TEXT, source="def g(x): return x"),
]
