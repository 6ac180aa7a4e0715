"""Programs that try the kernel's rarer doors, many small attempts in each: the program says which of them opened."""

from __future__ import annotations

from hostile import CRASH, MEMORY, NO_FORK, OK, TIMEOUT, attempts, program

from reprise.sandbox.inside import syscalls

_REFUSED_OUTRIGHT = """
wrong = []
for each in {names}:
    # Harmless arguments, were it to be let through: no descriptor, no address, no time.
    result = libc.syscall(ctypes.c_long(NUMBERS[each]), *[ctypes.c_long(-1)] * 6)
    if (result, ctypes.get_errno()) != (-1, errno.EPERM):
        wrong.append(each)
assert wrong, "all were refused"
"""

FILES_OUTSIDE = attempts(
    "files outside",
    {
        "mode": "os.chmod(given['canary'], 0o4777)",
        "mode by descriptor": "os.fchmod(os.open(given['canary'], os.O_RDONLY), 0o666)",
        "mode by path descriptor": "os.chmod(f\"/proc/self/fd/{os.open(given['canary'], os.O_PATH)}\", 0o666)",
        "fchmodat2": "call(452, -100, given['canary'].encode(), 0o666, 0)",
        "mode of the folder": "os.chmod(folder, 0)",
        "owner": "os.chown(given['canary'], os.getuid(), os.getgid())",
        "owner of the link": "os.lchown(given['canary'], -1, -1)",
        "time": "os.utime(given['canary'], (0, 0))",
        "time of the folder": "os.utime(folder)",
        "attribute": "os.setxattr(given['canary'], 'user.x', b'x')",
        "attribute removed": "os.removexattr(given['canary'], 'user.x')",
        "truncate": "os.truncate(given['canary'], 0)",
        "truncate by opening": "os.open(given['canary'], os.O_RDONLY | os.O_TRUNC)",
        "append": "os.open(given['canary'], os.O_WRONLY | os.O_APPEND)",
        "nameless file": "os.open(folder, os.O_TMPFILE | os.O_RDWR)",
        "create": "os.open(folder + '/new', os.O_CREAT | os.O_WRONLY)",
        "folder": "os.mkdir(folder + '/new')",
        "fifo": "os.mkfifo(folder + '/new')",
        "device": "os.mknod(folder + '/new', 0o20666, os.makedev(1, 3))",
        "symbolic link": "os.symlink('/', folder + '/new')",
        "hard link": "os.link(given['canary'], folder + '/new')",
        "hard link out of the interpreter": "os.link(sys.executable, folder + '/new')",
        "rename": "os.rename(given['canary'], folder + '/new')",
        "exchange": "must(libc.renameat2(-100, b'/tmp', -100, folder.encode(), 2))",
        "remove": "os.unlink(given['canary'])",
        "remove the folder": "os.rmdir(folder)",
        "openat2": "call(437, -100, given['canary'].encode(), ctypes.create_string_buffer(24), 24)",
        "change folder and open": "os.chdir(folder); open('canary')",
        "a handle": "call('name_to_handle_at', -100, b'/usr', ctypes.create_string_buffer(200), bytes(4), 0)",
        "the owner's folder": "assert os.getcwd() not in ('/', '/tmp')",
        "its own working folder's files": "open('/proc/self/cwd' + given['canary'])",
        "its own root's files": "open('/proc/self/root' + given['canary'])",
        "a lease": "fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 1024, fcntl.F_RDLCK)",
        "a notice": "fcntl.fcntl(os.open('/usr', os.O_RDONLY), 1026, 1)",
        "a lock on a shared file": "fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "who reads what: inotify": "call('inotify_init1', 0)",
        "who reads what: fanotify": "call('fanotify_init', 0x200, 0)",
        "who read what: the page cache": "call('mincore', mapped, 4096, bytes(1))",
        "who read what: without waiting": "os.preadv(os.open(os.__file__, 0), [bytearray(9)], 0, os.RWF_NOWAIT)",
        "the page cache emptied": "os.posix_fadvise(os.open(os.__file__, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)",
        "the interpreter": "os.chmod(sys.executable, 0o777)",
        "the harness": "os.truncate(sys.modules['inside.harness'].__file__, 0)",
        "kernel memory": "open('/dev/mem', 'rb')",
        "kernel messages": "open('/dev/kmsg')",
        "disks": "open('/dev/vda', 'rb')",
        "a terminal": "os.open('/dev/ptmx', os.O_RDWR)",
        "the terminal": "os.open('/dev/tty', os.O_RDWR)",
        "zeros without end": "open('/dev/zero', 'rb')",
        "settings of the kernel": "open('/proc/sys/kernel/core_pattern', 'w')",
        "system requests": "open('/proc/sysrq-trigger', 'w')",
        "devices of the kernel": "os.listdir('/sys/kernel')",
        "cgroups": "os.listdir('/sys/fs/cgroup')",
        "users": "write('/proc/self/uid_map', b'0 0 1')",
        "groups": "write('/proc/self/setgroups', b'allow')",
        "a lower place in line for being killed": "write('/proc/self/oom_score_adj', b'-500')",
        "/usr mounted anew": "call('mount', b'none', b'/usr', 0, 32, 0)",
    },
    setup="""
        folder = os.path.dirname(given['canary'])
        def write(path, text): os.write(os.open(path, os.O_WRONLY), text)
        libc.mmap.restype = ctypes.c_long
        libc.mmap.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
        mapped = libc.mmap(0, 4096, 1, 2, os.open(os.__file__, os.O_RDONLY), 0)
    """,
)

SOCKETS = attempts(
    "sockets",
    {
        **{
            f"a pair of family {family}": f"socket.socketpair({family}, socket.SOCK_STREAM)"
            for family in (2, 10, 16, 17, 29, 30, 31, 38, 40, 43, 44, 45)
        },
        **{f"a pair of type {kind}": f"socket.socketpair(socket.AF_UNIX, {kind})" for kind in (2, 3, 5, 10)},
        "a filter of BPF": "a.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HP', 0, 0))",
        "a larger buffer": "a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)",
        "urgent data": "a.send(b'x', socket.MSG_OOB)",
        "urgent data in a message": "a.sendmsg([b'x'], [], socket.MSG_OOB)",
        "reading urgent data": "b.setblocking(False); b.recv(1, socket.MSG_OOB)",
        "a datagram to a path": "a.sendto(b'x', given['socket'])",
        "a datagram to a name": "a.sendto(b'x', given['abstract'])",
        "a message to a path": "a.sendmsg([b'x'], [], 0, given['socket'])",
        "a descriptor to a path": "a.sendmsg([b'x'], [(1, 1, struct.pack('i', 0))], 0, given['socket'])",
        "connecting a pair": "a.connect(given['socket'])",
        "many messages at once": "call('sendmmsg', a.fileno(), 0, 0, 0)",
        "a socket of a path": "a.bind('/tmp/socket')",
        "its owner's socket by any descriptor": """
            sent = 0
            for fd in range(4, 2000):
                if fd not in (a.fileno(), b.fileno()):
                    try: sent += os.write(fd, b'{"ready": true}')
                    except OSError: pass
            assert sent
        """,
    },
    setup="a, b = socket.socketpair()",
)

MEMORY_UNCOUNTED = attempts(
    "memory that no limit counts",
    {
        "shared pages": "mmap.mmap(-1, 1 << 20)",
        "shared pages, flags in another order": "call('mmap', 0, 4096, 3, 0x8021 , -1, 0)",
        "shared pages of /dev/zero": "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 1 << 20)",
        "huge pages of the pool": "call('mmap', 0, 1 << 21, 3, 0x40022, -1, 0)",
        "pages given to a pipe": "call('vmsplice', os.pipe()[1], 0, 0, 0)",
        "pages of a file kept in a pipe": "call('splice', os.open(os.__file__, 0), 0, os.pipe()[1], 0, 4096, 0)",
        "pipes that share pages": "call('tee', os.pipe()[0], os.pipe()[1], 4096, 2)",
        "a larger pipe": "fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)",
        "many descriptors": "kept = [os.pipe() for _ in range(40)]",
        "a file without a folder": "os.memfd_create('x')",
        "a secret file": "call('memfd_secret', 0)",
        "its owner's segment": "call('shmat', given['segment'], 0, 0)",
        "its owner's segment removed": "call('shmctl', given['segment'], 0, 0)",
        "swapped out on purpose": "mmap.mmap(-1, 8192, mmap.MAP_PRIVATE).madvise(21)",
        "merged with that of others": "mmap.mmap(-1, 8192, mmap.MAP_PRIVATE).madvise(12)",
        "locked": "must(libc.mlock(ctypes.create_string_buffer(9999), 9999))",
        "a higher limit": "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 46, 1 << 46))",
        "more descriptors": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))",
        "another's limits": "import resource; resource.prlimit(given['owner'], resource.RLIMIT_AS, (1 << 46, 1 << 46))",
        "a larger result": "os.ftruncate(3, 1 << 30)",
        "a larger stdin": "os.posix_fallocate(os.open('/proc/self/fd/0', os.O_RDWR), 0, 1 << 30)",
        "a sealed result": "fcntl.fcntl(3, 1033, 8)",
    },
)

OTHERS = attempts(
    "other processes",
    {
        "signal": "call('kill', given['owner'], 0)",
        "signal by thread": "call('tgkill', given['owner'], given['owner'], 0)",
        "signal by thread alone": "call('tkill', given['owner'], 0)",
        "signal with a value": "libc.sigqueue.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p); "
        "must(libc.sigqueue(given['owner'], 0, None))",
        "signal to all": "assert not os.kill(-1, 0) and os.getpid() != 1; call('kill', -given['owner'], 0)",
        "signal by descriptor": "os.pidfd_open(given['owner'])",
        "signal of a file": "fcntl.fcntl(0, fcntl.F_SETOWN, given['owner'])",
        "signal of a file, chosen": "fcntl.fcntl(0, 10, 10)",
        "signal of a file, by group": "fcntl.fcntl(0, 15, struct.pack('ii', 1, given['owner']))",
        "signal of a socket": "fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack('i', given['owner']))",
        "read memory": "call('process_vm_readv', given['owner'], 0, 0, 0, 0, 0)",
        "compare": "call('kcmp', given['owner'], os.getpid(), 0, 0, 0)",
        "seize": "must(libc.ptrace(0x4206, given['owner'], 0, 0))",
        "turn": "os.setpriority(os.PRIO_PROCESS, given['owner'], 19)",
        "turn of a user": "os.setpriority(os.PRIO_USER, os.getuid(), 19)",
        "turn by policy": "os.sched_setscheduler(given['owner'], os.SCHED_IDLE, os.sched_param(0))",
        "turn by attributes": "call('sched_setattr', given['owner'], bytes(48), 0)",
        "own turn": "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
        "turn at the disk": "call('ioprio_set', 1, given['owner'], 3 << 13)",
        "turn at the disk of a user": "call('ioprio_set', 3, os.getuid(), 3 << 13)",
        "cores": "os.sched_setaffinity(given['owner'], {0})",
        "limits": "import resource; resource.prlimit(given['owner'], resource.RLIMIT_NOFILE, (9, 9))",
        "group": "os.setpgid(given['owner'], 0)",
        "pages": "call('move_pages', given['owner'], 0, 0, 0, 0, 0)",
        "advice": "call('process_madvise', -1, 0, 0, 0, 0)",
        "command line": "open(f\"/proc/{given['owner']}/cmdline\").read()",
        "what it has open": "os.listdir(f\"/proc/{given['owner']}/fd\")",
        "its parent's files": "assert os.getppid(); os.listdir(f'/proc/{os.getppid()}/fd')",
        "a sibling": "call('clone', 0x8000 | 17, 0, 0, 0, 0) or os._exit(0)",
    },
)

KERNEL = attempts(
    "kernel code",
    {
        "refused by name": _REFUSED_OUTRIGHT.format(names=sorted(syscalls.REFUSED)),
        "asynchronous input and output": "call('io_setup', 65536, ctypes.byref(ctypes.c_ulong()))",
        "rings": "call('io_uring_setup', 1, bytes(120))",
        "timers": "call('timer_create', 1, 0, ctypes.byref(ctypes.c_int()))",
        "a listener of system calls": "call('seccomp', 1, 8, struct.pack('HP', 0, 0))",
        "a filter of system calls": "must(libc.prctl(22, 2, 0, 0, 0))",
        "keys": "call('keyctl', 0, -3, 1, 0, 0)",
        "performance counters": "call('perf_event_open', bytes(128), 0, -1, -1, 0)",
        "faults handled by itself": "call('userfaultfd', 1)",
        "another personality": "call('personality', 0x0040000)",
        "its memory map": "must(libc.prctl(35, 1, 4096, 0, 0))",
        "its core": "must(libc.prctl(62, 1, 0, 0, 0))",
        "hidden": "must(libc.prctl(4, 0, 0, 0, 0))",
        "clone by a structure": "call('clone3', bytes(88), 88)",
        **{
            f"a namespace {flag:#x}": f"call('clone', {flag} | 17, 0, 0, 0, 0) or os._exit(0)"
            for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
        },
        "a namespace of time": "must(libc.unshare(0x80))",
        "a namespace, with more bits": "call('unshare', 0x10000000 | 1 << 40)",
        "a namespace of another": "call('setns', 0, 0)",
        "a mount in pieces": "call('fsopen', b'tmpfs', 0)",
        "a tree": "call('open_tree', -100, b'/', 1)",
        "mounts listed": "call('statmount', 0, 0, 0, 0)",
        "quota": "call('quotactl', 0, 0, 0, 0)",
        "kernel messages": "call('syslog', 3, 0, 0)",
        "a call to come": "call(463, -100, 0, 0, 0)",
        "calls to come": "[call(number) for number in range(464, 600)]",
        "capabilities": "must(libc.prctl(47, 2, 21, 0, 0))",
        "user": "os.setresuid(0, 0, 0); assert os.getuid()",
        "the clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
        "the name of the machine": "socket.sethostname('x')",
    },
)

_CODE = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
print("ESCAPED", ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))())
"""
_X32 = "import ctypes\nprint('ESCAPED', ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39)))"
_CHILDREN = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try: child = os.fork()
    except OSError: child = -1
    if child == 0:
        end = time.process_time() + 0.05
        while time.process_time() < end: pass
        os._exit(0)
    time.sleep(0.03)
"""
_FULL = """
import os, socket
held = 0
kept = []
try:
    for _ in range(100): kept.append(socket.socketpair() if len(kept) % 2 else os.pipe())
except OSError: pass
for pair in kept:
    fd = pair[1] if isinstance(pair[1], int) else pair[1].fileno()
    os.set_blocking(fd, False)
    try:
        while True: held += os.write(fd, b"x" * 65536)
    except OSError: pass
print("held" if held < 32 << 20 else f"ESCAPED {held}")
"""
_BEYOND = """
import os
for grow in (lambda fd: os.posix_fallocate(fd, 0, 1 << 26), lambda fd: os.ftruncate(fd, 1 << 26),
             lambda fd: os.pwrite(fd, b"x", 1 << 26), lambda fd: os.copy_file_range(0, fd, 1 << 20, 0, 1 << 26)):
    for number in (1, 2, 3):
        try: grow(number)
        except OSError: pass
sizes = [os.fstat(number).st_size for number in (1, 2, 3)]
print("held" if max(sizes) <= 1 << 20 else f"ESCAPED {sizes}")
"""
_STORM = "import os\nfor _ in range(100_000): os.sync(); os.fsync(1)\nprint('held')"
_ENDLESS = """
import os, time
for _ in range(10):
    if os.fork() == 0: time.sleep(0.01); os._exit(0)
time.sleep(0.1)
print("zombies")
"""

KERNEL_SURFACE = [
    FILES_OUTSIDE,
    SOCKETS,
    MEMORY_UNCOUNTED,
    OTHERS,
    KERNEL,
    program("32-bit system calls", CRASH, source=_CODE),
    program("x32 system calls", CRASH, source=_X32),
    program("children that nobody waits for", TIMEOUT, source=_CHILDREN),
    program("everything full that can be written", OK, prints="held", source=_FULL),
    program("output beyond its limit, by other calls", OK, prints="held", source=_BEYOND),
    program("a storm of syncs", OK, prints="held", source=_STORM),
    program("zombies", OK, prints="zombies", source=_ENDLESS, on=NO_FORK),
    program(
        "stopped by itself", TIMEOUT, source="import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile 1: pass"
    ),
    program("a slow exit", TIMEOUT, source="import atexit, time\natexit.register(time.sleep, 100)"),
    program(
        "a deep folder",
        OK,
        TIMEOUT,
        source="import os\ntry:\n    for _ in range(4000): os.mkdir('d'); os.chdir('d')\nexcept OSError: pass",
    ),
    program(
        "a bomb of stacks",
        MEMORY,
        TIMEOUT,
        CRASH,
        OK,
        source="""
        import threading, time
        threading.stack_size(64 << 20)
        def fill(n=0): return fill(n + 1) if n < 900 else time.sleep(0.1)
        for _ in range(16): threading.Thread(target=fill).start()
        """,
    ),
]
