"""The kernel's calls that Python does not offer, by ctypes. Every failure is an OSError that names the call."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
CLONE_THREAD = 0x00010000
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
ALL_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
)
_SIGCHLD = 17

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38

_CLONE = {"x86_64": 56, "aarch64": 220}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CLOSE_RANGE = 436
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446  # the same everywhere
MACHINE = os.uname().machine

_libc = ctypes.CDLL(None, use_errno=True)
# Calls that must not let go of the interpreter's lock: a clone copies the process as it is.
_libc_locked = ctypes.PyDLL(None, use_errno=True)


def _check(name: str, result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def _syscall(name: str, number: int, *arguments: object) -> int:
    return _check(name, _libc.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(f"prctl({option})", _libc.prctl(ctypes.c_int(option), *padded))


def unshare(flags: int) -> None:
    _check("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    texts = [text.encode() if text else None for text in (source, target, kind)]
    result = _libc.mount(*texts, ctypes.c_ulong(flags), options.encode() if options else None)
    _check(f"mount {kind or 'bind'} at {target}", result)


def fork_into(namespaces: int) -> int:
    """`os.fork` whose child begins in new namespaces, and as pid 1 if they hold CLONE_NEWPID. Single-threaded only."""
    ctypes.pythonapi.PyOS_BeforeFork()
    flags = ctypes.c_ulong(namespaces | _SIGCHLD)
    none = ctypes.c_void_p(0)
    pid = _libc_locked.syscall(ctypes.c_long(_CLONE[MACHINE]), flags, none, none, none, none)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    return _check("clone", pid)


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` to the end of the table, which may be beyond any limit of today."""
    if _libc.syscall(ctypes.c_long(_CLOSE_RANGE), ctypes.c_uint(lowest), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(0)):
        for fd in [int(name) for name in os.listdir("/proc/self/fd")]:  # before Linux 5.9
            if fd >= lowest:
                with contextlib.suppress(OSError):  # the folder's own
                    os.close(fd)


def drop_capabilities() -> None:
    """No capability is left, and none can come back."""
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # the last capability this kernel knows, or no right to drop them: then there are none to drop
    header = struct.pack("Ii", 0x20080522, 0)
    _syscall("capset", _CAPSET[MACHINE], ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def load_seccomp(program: bytes) -> None:
    """Load a filter, an array of 8-byte BPF instructions, for this thread and all that come of it."""
    buffer = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    description = _Program(len(program) // 8, ctypes.addressof(buffer))
    _syscall("seccomp", _SECCOMP[MACHINE], ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.byref(description))


# --- Landlock: https://docs.kernel.org/userspace-api/landlock.html ----------------------------------------------------

_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_READ = _FS_EXECUTE | _FS_READ_FILE | _FS_READ_DIR
_FS_RIGHTS = {3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # by ABI
_OLDEST_ABI = 3  # before it, any file can be truncated


def landlock_version() -> int:
    """The ABI this kernel offers; 0 without Landlock."""
    result = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, int(result))


def landlock_rules(readable: list[str], writable_files: list[str]) -> int:
    """A descriptor of rules: read and run what is below `readable`, write `writable_files`, and nothing else.

    Where the kernel can (ABI 4 and 6) also no TCP, no abstract sockets and no signals to processes outside.
    """
    version = landlock_version()
    if version < _OLDEST_ABI:
        has = f"Landlock's ABI {version}, which lets any file be truncated" if version else "no Landlock"
        raise OSError(f"this kernel has {has}: Linux 6.2 or newer is needed (ABI {_OLDEST_ABI})")
    filesystem = _FS_RIGHTS[min(version, 5)]
    attributes = struct.pack("QQQ", filesystem, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _syscall(
        "landlock_create_ruleset",
        _LANDLOCK_CREATE,
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(size),
        ctypes.c_uint(0),
    )
    for path, rights in [
        *((p, _READ) for p in readable),
        *((p, _FS_READ_FILE | _FS_WRITE_FILE) for p in writable_files),
    ]:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            rights &= _FS_EXECUTE | _FS_READ_FILE | _FS_WRITE_FILE
        rule = struct.pack("=Qi", rights & filesystem, fd)
        _syscall(
            "landlock_add_rule",
            _LANDLOCK_ADD_RULE,
            ctypes.c_int(rules),
            ctypes.c_int(1),
            ctypes.c_char_p(rule),
            ctypes.c_uint(0),
        )
        os.close(fd)
    return rules


def landlock_restrict(rules: int) -> None:
    """From here on this thread, and all that come of it, are held by the rules."""
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint(0))
