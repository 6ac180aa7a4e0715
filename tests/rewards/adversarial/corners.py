"""Corners where two protections meet, and tricks that need more than one step."""

from __future__ import annotations

from hostile import CRASH, INVALID, MEMORY, NO_FORK, OK, OUTPUT_LIMIT, TIMEOUT, attempts, program

from reprise.sandbox import Call

DESCRIPTORS = attempts(
    "descriptors",
    {
        "one more than it was given": """
            found = []
            for fd in range(4, 65536):
                try: found.append(os.fstat(fd))
                except OSError: pass
            assert found
        """,
        "the channel of its jail": "os.write(4, b'it could not be locked in')",
        "the channel of its jail, reopened": "os.write(os.open('/proc/self/fd/4', os.O_WRONLY), b'x')",
        "the descriptors of the first process": "assert os.getpid() != 1; os.listdir('/proc/1/fd')",
        "the zygote's memory": "assert os.getppid(); open(f'/proc/{os.getppid()}/mem', 'rb')",
        "the zygote": "assert os.getppid(); os.kill(os.getppid(), 0)",
        "the zygote by its group": "call('kill', -os.getppid() or -2, 0)",
        "the payload read again": "os.lseek(4, 0, 0)",
        "a socket among its own": "[socket.socket(fileno=os.dup(fd)).getpeername() for fd in (0, 1, 2, 3)]",
        "passing a descriptor to the box": "socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
        "a longer life by a descriptor in flight": """
            a, b = socket.socketpair()
            for _ in range(500): socket.send_fds(a, [b'x'], [a.fileno(), b.fileno()])
        """,
        "its own streams as others'": "assert os.fstat(1).st_nlink",
    },
)

PROCESSES = attempts(
    "processes in odd ways",
    {
        "a sibling of its own": "call('clone', 0x8000 | 0x10000, 0, 0, 0, 0) or os._exit(0)",
        "a child without a signal, in a namespace": "call('clone', 0x10000000, 0, 0, 0, 0) or os._exit(0)",
        "a child that shares nothing but a namespace": "must(libc.unshare(0x40000000))",
        "another root": "os.chroot('/usr')",
        "its first process killed": "assert os.getpid() != 1 and not os.kill(1, 9)",
        "a real-time turn": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        "a better turn": "os.nice(-5)",
        "a worse turn, to look idle": "os.nice(19)",
        "more processor time": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))",
        "larger files": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))",
        "more processes": "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999))",
        "a core dump": "import resource; resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))",
        "a core for a program of the machine's": """
            import resource
            assert resource.getrlimit(resource.RLIMIT_CORE)[1] == 1
            resource.setrlimit(resource.RLIMIT_CORE, (0, 1))
        """,
        "new privileges": "must(libc.prctl(38, 0, 0, 0, 0))",
        "kept capabilities": "must(libc.prctl(28, 0x10, 0, 0, 0))",
        "capabilities": "must(libc.capset(struct.pack('Ii', 0x20080522, 0), b'\\xff' * 24))",
        "groups": "os.setgroups([0])",
        "another user's file system": "libc.setfsuid(0); assert libc.setfsuid(-1) == 0",
        "traced by its child": "must(libc.ptrace(0, 0, 0, 0))",
        "speculation": "must(libc.prctl(53, 0, 2, 0, 0))",
        "a system call's door moved": "must(libc.prctl(59, 1, 0, 0, 0))",
    },
)

SPACE = attempts(
    "space",
    {
        "a file system": "call('mount', b'tmpfs', b'/tmp', b'tmpfs', 0, 0)",
        "space bound to another place": "call('mount', b'/tmp', b'/usr', 0, 4096, 0)",
        "space that lasts": "open('/var/tmp/reprise-left', 'w')",
        "a run's folder": "open('/run/reprise-left', 'w')",
        "a larger shared memory": "os.statvfs('/dev/shm').f_blocks > 1 << 14 or exec('raise OSError')",
        "a device's name": "os.mkfifo('/dev/reprise-left')",
        "extended attributes without end": """
            open('/tmp/x', 'w')
            for number in range(10_000): os.setxattr('/tmp/x', f'user.{number}', b'x' * 60_000)
        """,
        "a name of 4,096 links": """
            for number in range(100): os.symlink(f'/tmp/{number + 1}', f'/tmp/{number}')
            open('/tmp/0')
        """,
        "a mount by its magic link": "open('/proc/self/root/../..' + given['canary'])",
        "a way up": "open('../' * 50 + given['canary'])",
        "a descriptor's way up": "os.open('../' * 50 + given['canary'][1:], 0, dir_fd=os.open('/usr', os.O_PATH))",
        "a map of files": "os.listdir('/proc/self/map_files'); os.open('/proc/self/map_files/0-1', 0)",
        "keys in sight": "open('/proc/keys').readline().index('reprise')",
        "the machine's name set": "open('/proc/sys/kernel/hostname', 'w').write('x')",
        "the last pid chosen": "os.write(os.open('/proc/sys/kernel/ns_last_pid', os.O_WRONLY), b'500')",
        "the owner's pid namespace": "os.open(f\"/proc/{given['owner']}/ns/pid\", 0)",
    },
)

_EXEC = """
import os, sys
os.write(3, b'{"jail": "no"}\\n')
os.execv(sys.executable, [sys.executable, "-c", "import os; os.write(3, b'{}')"])
"""
_UNIX_FILLED = """
import os, socket
sent = 0
kept = []
for _ in range(25):
    a, b = socket.socketpair()
    a.setblocking(False)
    kept += [a, b]
    try:
        while True: sent += a.send(b"x" * 65536)
    except OSError: pass
print("held" if sent < 16 << 20 else f"ESCAPED {sent}")
"""
_MAPPED = """
import mmap, os
held = 0
try:
    for number in range(200):
        file = os.open(f"/tmp/{number}", os.O_RDWR | os.O_CREAT)
        os.unlink(f"/tmp/{number}")
        os.ftruncate(file, 1 << 20)
        mapped = mmap.mmap(file, 1 << 20)
        os.close(file)
        globals()[f"m{number}"] = mapped
        os.pwrite(os.open("/dev/null", os.O_WRONLY), b"x", 0)
        for page in range(0, 1 << 20, 4096): mapped[page] = 1
        held += 1
except OSError: pass
print("held" if held <= 9 else f"ESCAPED {held} MB")
"""
_CALL = Call("f", [3])
_LATE_WRITER = """
import os, time
if os.fork() == 0:
    time.sleep(0.05)
    os.write(3, b'{"value": 1}\\n')
    os._exit(0)
def f(x): return x
"""

CORNERS = [
    DESCRIPTORS,
    PROCESSES,
    SPACE,
    program("another interpreter that forges", INVALID, source=_EXEC, on={"landlock": (INVALID, CRASH)}, call=_CALL),
    program("a forged word of its jail", INVALID, source='import os\nos.write(3, b\'{"jail": "x"}\\n\')'),
    program(
        "a forged word of its jail, and a call",
        INVALID,
        call=_CALL,
        source='import os\nos.write(3, b\'{"jail": "x"}\\n\')\nos._exit(1)',
    ),
    program("a child that forges later", OK, INVALID, source=_LATE_WRITER, on=NO_FORK, call=_CALL),
    program("sockets filled", OK, prints="held", source=_UNIX_FILLED),
    program("pages of files without names", OK, CRASH, prints="held", source=_MAPPED),
    program(
        "memory of threads' stacks",
        OK,  # where its threads alone met the end of memory
        MEMORY,
        CRASH,
        TIMEOUT,
        source="""
        import threading, time
        x = []
        def fill():
            for _ in range(40): x.append(bytearray(b"x") * (1 << 20))
            time.sleep(1)
        for _ in range(8): threading.Thread(target=fill).start()
        """,
    ),
    program(
        "a signal of its own at the limit",
        TIMEOUT,
        CRASH,
        source="""
        import resource, signal
        resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        while True: pass
        """,
    ),
    program(
        "an alarm that ends it", CRASH, OK, source="import signal\nsignal.alarm(0)\nsignal.raise_signal(signal.SIGALRM)"
    ),
    program("killed by itself", CRASH, TIMEOUT, source="import os\nos.kill(os.getpid(), 9)\nos._exit(9)"),
    program("no streams at all", CRASH, OK, source="import os\nos.closerange(0, 64)\nprint(1)"),
    program(
        "standard output on the result",
        INVALID,
        call=_CALL,
        source="import os\nos.dup2(3, 1)\nprint('x', flush=True)\ndef f(x): return x",
    ),
    program("the result on standard output", CRASH, call=_CALL, source="import os\nos.dup2(1, 3)\ndef f(x): return x"),
    program(
        "words without end",
        CRASH,
        OUTPUT_LIMIT,
        call=_CALL,
        source="def f(x): raise ValueError('\\x1b[2J' * 1_000_000)",
    ),
    program(
        "an exception of a name without end",
        CRASH,
        call=_CALL,
        source="def f(x): raise type('\\x1b]0;x' * 100_000, (Exception,), {})",
    ),
    program(
        "a hook at the end", CRASH, TIMEOUT, OK, source="import sys, threading\nthreading._shutdown = sys.exit = None"
    ),
    program(
        "interruptions",
        TIMEOUT,
        source="""
        import signal, time
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        while True: time.sleep(1)
        """,
    ),
]
