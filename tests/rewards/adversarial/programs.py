"""Hostile programs, and how each must end. A list to read: adding a case is adding an entry.

Programs that try something forbidden print `held` if they failed, `ESCAPED` if not. On stdin they get one JSON line:
`canary`, a file outside that anyone may read, and `owner`, the pid of the process that owns the sandbox.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from rewards.sandbox import Call, Ending, JobLimits

OK, TIMEOUT, MEMORY = Ending.OK, Ending.TIMEOUT, Ending.MEMORY
OUTPUT_LIMIT, CRASH, INVALID = Ending.OUTPUT_LIMIT, Ending.CRASH, Ending.INVALID_RESULT

LIMITS = JobLimits(cpu_s=0.6, wall_s=0.9, memory_mb=128, processes=16, disk_mb=8, output_bytes=1 << 20)


@dataclass(frozen=True)
class Hostile:
    """endings: acceptable on every backend; on: others for a backend by name; prints: stdout when it ends OK."""

    name: str
    source: str
    endings: tuple[Ending, ...]
    prints: str | None = None
    call: Call | None = None
    on: Mapping[str, tuple[Ending, ...]] = field(default_factory=dict)
    stdin: bytes | None = None


def program(name: str, *endings: Ending, source: str, **more: object) -> Hostile:
    return Hostile(name, textwrap.dedent(source), endings, **more)  # type: ignore[arg-type]


def attempt(name: str, action: str, setup: str = "") -> Hostile:
    """`action` must raise: a line of Python, or several."""
    source = (
        "import ctypes, json, os, socket, sys\ngiven = json.loads(input())\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def must(result):\n    if result < 0:\n        raise OSError(ctypes.get_errno(), 'refused')\n"
        f"{textwrap.dedent(setup)}\n"
        "try:\n"
        + textwrap.indent(textwrap.dedent(action).strip(), "    ")
        + "\nexcept (OSError, ValueError, AssertionError):\n"
        "    print('held')\nelse:\n    print('ESCAPED')\n"
    )
    return Hostile(name, source, (OK,), prints="held")


# Without a pid namespace (landlock) a job may start no process at all: os.fork raises.
NO_FORK = {"landlock": (CRASH,)}

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

_CONSTANTS = "NEWUSER, NEWNS, NEWPID, SYS_clone = 0x10000000, 0x20000, 0x20000000, 56\n"
ESCAPES = [
    attempt("read a file outside", "open(given['canary'])"),
    attempt("list the folder of a file outside", "os.listdir(os.path.dirname(given['canary']))"),
    attempt("write beside a file outside", "os.stat(given['canary']); open(given['canary'] + '.new', 'w')"),
    attempt("read the password file", "open('/etc/shadow')"),
    attempt("write to the system", "open('/usr/lib/x', 'w')"),
    attempt("write into the interpreter", "open(os.path.join(sys.prefix, 'x'), 'w')"),
    attempt("write into the harness", "open(sys.modules['inside.harness'].__file__, 'w')"),
    attempt("a symbolic link outside", "os.symlink(given['canary'], '/tmp/link'); open('/tmp/link')"),
    attempt("a hard link outside", "os.link(given['canary'], '/tmp/link'); open('/tmp/link')"),
    attempt("a path through /proc/1/root", "open('/proc/1/root' + given['canary'])"),
    attempt(
        "a path through any process's root or folder",
        """
        found = [open(f"/proc/{pid}/{at}" + given["canary"]) for pid in os.listdir("/proc") for at in ("root", "cwd")
                 if os.path.exists(f"/proc/{pid}/{at}" + given["canary"])]
        assert found
        """,
    ),
    attempt(
        "read environments",
        """
        texts = [repr(os.environ)]
        for pid in [*(os.listdir("/proc") if os.access("/proc", os.R_OK) else []), given["owner"]]:
            try: texts.append(open(f"/proc/{pid}/environ").read())
            except OSError: pass
        assert any("SECRET" in text for text in texts)
        """,
    ),
    attempt("look into its owner", "open(f\"/proc/{given['owner']}/mem\")"),
    attempt(
        "any inherited descriptor",
        """
        def is_open(fd):
            try: os.fstat(fd)
            except OSError: return False
            return True
        assert any(is_open(fd) for fd in range(4, 1024))
        """,
    ),
    attempt("TCP socket", "socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(('127.0.0.1', 1))"),
    attempt("UDP socket", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"),
    attempt("IPv6 socket", "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)"),
    attempt("netlink socket", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)"),
    attempt("packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)"),
    attempt("abstract socket", "socket.socket(socket.AF_UNIX).bind('\\0reprise-adversary')"),
    attempt("resolve a name", "socket.create_connection(('localhost', 9), timeout=0.2)"),
    attempt("signal its owner", "os.kill(given['owner'], 0)"),
    attempt("kill its owner", "os.kill(given['owner'], 9)"),
    attempt("trace its parent", "must(libc.ptrace(16, os.getppid() or 1, 0, 0))"),
    attempt("be traced", "must(libc.ptrace(0, 0, 0, 0))"),
    attempt("trace its owner", "must(libc.ptrace(16, given['owner'], 0, 0))"),
    attempt("a user namespace", "must(libc.unshare(NEWUSER))", _CONSTANTS),
    attempt("a mount namespace", "must(libc.unshare(NEWNS))", _CONSTANTS),
    attempt("a cloned user namespace", "must(libc.syscall(SYS_clone, NEWUSER | 17, 0, 0, 0, 0))", _CONSTANTS),
    attempt("mount", "must(libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None))"),
    attempt("unmount", "must(libc.umount2(b'/tmp', 2))"),
    attempt("change root", "os.chroot('/tmp')"),
    attempt("become root", "os.setuid(0); assert False, os.getuid()"),
    attempt("become its neighbour", "os.setuid(61_999)"),
    attempt("make a device", "os.mknod('/tmp/device', 0o60666, os.makedev(254, 0))"),
    attempt("type into the terminal", "import fcntl; fcntl.ioctl(0, 0x5412, b'x')"),
    attempt("memory that no limit counts", "os.memfd_create('x')"),
    attempt("shared memory segment", "must(libc.shmget(0, 1 << 30, 0o1666))"),
    attempt("keyring", "must(libc.syscall(250, 0, -3, 0, 0, 0))"),
    attempt("bpf", "must(libc.syscall(321, 0, 0, 0))"),
    attempt("io_uring", "must(libc.syscall(425, 1, 0))"),
    attempt("a raised limit", "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 45, 1 << 45))"),
    attempt("hidden memory", "must(libc.prctl(4, 0, 0, 0, 0))"),
    program(
        "killing everything",
        OK,
        TIMEOUT,
        CRASH,
        source="""
        import os, signal
        for pid in [-1, os.getppid(), *range(1, 200)]:
            if pid not in (0, os.getpid()):
                try: os.kill(pid, signal.SIGKILL)
                except OSError: pass
        """,
    ),
]

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

HOSTILE = [*EXHAUSTION, *FILLING, *DAEMONS, *ESCAPES, *FORGERIES]
