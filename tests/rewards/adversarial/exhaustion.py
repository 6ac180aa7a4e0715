"""Programs that want all there is: time, memory, disk, processes; and those that want to stay."""

from __future__ import annotations

from hostile import CRASH, MEMORY, NO_FORK, OK, OUTPUT_LIMIT, TIMEOUT, Hostile, program

EXHAUSTION = [
    program("infinite loop", TIMEOUT, source="while True: pass"),
    program("infinite loop in C", TIMEOUT, source="7 ** (7 ** 10)"),
    program("sleep", TIMEOUT, source="import time; time.sleep(100)"),
    program("closed stdout and sleep", TIMEOUT, source="import os, time; os.close(1); os.close(2); time.sleep(100)"),
    program(
        "every signal ignored",
        TIMEOUT,
        source="""
        import signal
        for number in signal.valid_signals():
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass
        """,
    ),
    program(
        "the deadline handled by itself",
        TIMEOUT,
        source="""
        import signal
        signal.signal(signal.SIGXCPU, lambda *_: None)
        while True:
            try:
                while True: pass
            except BaseException: pass
        """,
    ),
    program(
        "fork bomb",
        TIMEOUT,
        MEMORY,
        source="""
        import os
        while True:
            try: os.fork()
            except OSError: pass
        """,
    ),
    program(
        "thread bomb",
        TIMEOUT,
        MEMORY,
        CRASH,
        source="""
        import threading, time
        while True:
            try: threading.Thread(target=time.sleep, args=(100,)).start()
            except RuntimeError: pass
        """,
    ),
    program("memory bomb", MEMORY, source="x = []\nwhile True: x.append(bytearray(1 << 20))"),
    program("memory bomb at once", MEMORY, source="x = bytearray(1 << 40)"),
    program("memory bomb of integers", MEMORY, TIMEOUT, source="x = 1\nwhile True: x <<= x.bit_length()"),
    program(
        "memory bomb of eight",
        MEMORY,
        on=NO_FORK,
        source="""
        import os, time
        for _ in range(8):
            if os.fork() == 0: break
        x = []
        for _ in range(64): x.append(bytearray(b'x') * (1 << 20))
        time.sleep(100)
        """,
    ),
    program(
        "memory bomb of shared pages",
        MEMORY,
        CRASH,
        source="import mmap\nx = []\nwhile True:\n    x.append(mmap.mmap(-1, 1 << 20)); x[-1].write(b'x' * (1 << 20))",
    ),
    program("stdout flood", OUTPUT_LIMIT, source="while True: print('x' * 1000)"),
    program("stderr flood", OUTPUT_LIMIT, source="import sys\nwhile True: print('x' * 1000, file=sys.stderr)"),
    program(
        "stdout flood, exceptions swallowed",
        OUTPUT_LIMIT,
        TIMEOUT,
        source="import os\nwhile True:\n    try: os.write(1, b'x' * 100_000)\n    except OSError: pass",
    ),
    program("deep recursion", CRASH, source="def f(n): return f(n + 1)\nf(0)"),
    program(
        "deep recursion without a limit",
        CRASH,
        TIMEOUT,
        MEMORY,
        source="import sys\nsys.setrecursionlimit(1 << 30)\ndef f(n): return f(n + 1) + 1\nf(0)",
    ),
    program(
        "deep recursion in C",
        CRASH,
        TIMEOUT,
        MEMORY,
        source="import sys\nsys.setrecursionlimit(1 << 30)\nx = []\nfor _ in range(1 << 20): x = [x]\nrepr(x)",
    ),
    program("4 MB of stdin, unread", OK, prints="done", source="print('done')", stdin=b"x" * (4 << 20)),
    program("waiting for more stdin", CRASH, source="while True: input()"),
    program("segmentation fault", CRASH, source="import ctypes; ctypes.string_at(0)"),
    program("abort", CRASH, source="import os; os.abort()"),
    program(
        "recursive repr of an exception", CRASH, source="class E(Exception):\n    __str__ = lambda s: 1/0\nraise E"
    ),
]

_FILL = """
import os
written = 0
for folder in FOLDERS:
    try:
        for number in range(10_000):
            with open(os.path.join(folder, f"fill{folder.replace('/', '-')}{number}"), "xb") as file:
                file.write(b"x" * (1 << 18)); written += 1 << 18
    except OSError: pass
print("held" if written <= 10 << 20 else "ESCAPED")
"""
FILLING = [
    program("filling /tmp", OK, prints="held", source=_FILL.replace("FOLDERS", "['/tmp']")),
    program("filling shared memory", OK, prints="held", source=_FILL.replace("FOLDERS", "['/dev/shm']")),
    program(
        "filling any folder",
        OK,
        prints="held",
        source=_FILL.replace("FOLDERS", "['.', '/', '/tmp', '/dev', '/dev/shm', '/run', '/var/tmp', '/proc', '/home']"),
    ),
    program(
        "inodes",
        OK,
        TIMEOUT,
        prints="held",
        source="""
        count = 0
        try:
            for count in range(1 << 20): open(f"/tmp/{count}", "w").close()
        except OSError: pass
        print("held" if count <= 5000 else "ESCAPED")
        """,
    ),
    program(
        "a large file by seeking",
        OK,
        prints="held",
        source="""
        try:
            with open("/tmp/sparse", "wb") as file:
                file.seek(1 << 40); file.write(b"x")
            print("ESCAPED")
        except OSError: print("held")
        """,
    ),
]

_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        DETACH
        time.sleep(100)
    os._exit(0)
os.wait()
print("left one behind")
"""


def daemon(name: str, detach: str) -> Hostile:
    """Prints and ends well, and leaves a process behind."""
    return program(name, OK, on=NO_FORK, prints="left one behind", source=_DAEMON.replace("DETACH", detach))


DAEMONS = [
    daemon("daemon", "os.closerange(0, 9)"),
    daemon("daemon that holds stdout", "pass"),
    daemon("daemon that resets its death signal", "import ctypes; ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)"),
    daemon("daemon that ignores signals", "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]"),
]
