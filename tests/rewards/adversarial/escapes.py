"""Programs that want out: to files, networks, other processes, other rights."""

from __future__ import annotations

from hostile import CRASH, OK, TIMEOUT, attempt, program

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
