"""System calls by name, for the filters in `seccomp.py`: what every job is refused, and all that a Landlock job has.

Each is written `name x86-64 ARM64`; `-`: there is none. From 424 on both have the same numbers. Sources: the kernel's
`asm/unistd_64.h` and `asm-generic/unistd.h`.
"""

from __future__ import annotations

from . import kernel

HIGHEST_KNOWN = 462  # mseal, Linux 6.10: what came later is as good as missing


def _calls(text: str) -> dict[str, int]:
    """The calls that this machine has, of a list as below."""
    column = 1 if kernel.MACHINE == "x86_64" else 2
    rows = [entry.split() for entry in text.split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


# Refused to every job: they fail with EPERM.
REFUSED = _calls(
    # Each family of sockets is a piece of kernel; options load BPF programs and set buffers.
    """
    socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
    setsockopt 54 208, sendmmsg 307 269, recvmmsg 299 243,
"""
    # Other processes.
    """
    ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272,
    pidfd_send_signal 424 424, pidfd_open 434 434, pidfd_getfd 438 438, process_madvise 440 440,
    process_mrelease 448 448,
"""
    # Namespaces, mounts and files by handle.
    """
    mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, unshare 272 97, setns 308 268,
    open_tree 428 428, move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433,
    mount_setattr 442 442, statmount 457 457, listmount 458 458, name_to_handle_at 303 264,
    open_by_handle_at 304 265, quotactl 179 60, quotactl_fd 443 443,
"""
    # Memory that no limit counts: in files without a folder, in segments, in pipes that hold on to pages.
    """
    memfd_create 319 279, memfd_secret 447 447, shmget 29 194, shmat 30 196, shmctl 31 195, shmdt 67 197,
    vmsplice 278 75, splice 275 76, tee 276 77, mbind 237 235, set_mempolicy 238 237,
    set_mempolicy_home_node 450 450, migrate_pages 256 238, move_pages 279 239,
"""
    # System V's and POSIX's queues and semaphores (those of libc, in /dev/shm, are other things).
    """
    semget 64 190, semop 65 193, semtimedop 220 192, semctl 66 191, msgget 68 186, msgsnd 69 189,
    msgrcv 70 188, msgctl 71 187, mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182,
    mq_timedreceive 243 183, mq_notify 244 184, mq_getsetattr 245 185,
"""
    # What the whole machine, or all of a user's processes, share a limited number of, or see each other by.
    """
    io_setup 206 0, io_destroy 207 1, io_submit 209 2, io_cancel 210 3, io_getevents 208 4,
    io_pgetevents 333 292, inotify_init 253 -, inotify_init1 294 26, inotify_add_watch 254 27,
    inotify_rm_watch 255 28, fanotify_init 300 262, fanotify_mark 301 263, timer_create 222 107,
    add_key 248 217, request_key 249 218, keyctl 250 219, flock 73 32,
"""
    # Who looked at which file: the page cache is everybody's.
    """
    mincore 27 232, fadvise64 221 223, readahead 187 213, cachestat 451 451,
"""
    # Whose turn it is.
    """
    sched_setscheduler 144 119, sched_setparam 142 118, sched_setattr 314 274, setpriority 141 140,
    ioprio_set 251 30,
"""
    # Kernel code that no answer needs, and administration.
    """
    seccomp 317 277, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, io_uring_setup 425 425,
    io_uring_enter 426 426, io_uring_register 427 427, lsm_get_self_attr 459 459, lsm_set_self_attr 460 460,
    lsm_list_modules 461 461, landlock_create_ruleset 444 444, landlock_add_rule 445 445,
    landlock_restrict_self 446 446, personality 135 92, modify_ldt 154 -, iopl 172 -, ioperm 173 -,
    init_module 175 105, delete_module 176 106, finit_module 313 273, kexec_load 246 104,
    kexec_file_load 320 294, reboot 169 142, swapon 167 224, swapoff 168 225, acct 163 89, syslog 103 116,
    settimeofday 164 170, clock_settime 227 112, adjtimex 159 171, clock_adjtime 305 266, sethostname 170 161,
    setdomainname 171 162, vhangup 153 58, lookup_dcookie 212 18, sysfs 139 -, ustat 136 -, _sysctl 156 -,
    uselib 134 -, nfsservctl 180 42
"""
)
# As if this kernel did not know them (ENOSYS): libc has other ways. Their arguments lie in memory, out of a filter's
# sight (clone3), or show what the page cache holds.
MISSING = _calls("clone3 435 435, preadv2 327 286, pwritev2 328 287")
# Done without being done: what a job can write is memory, and a real sync would be the whole machine's business.
NOTHING_TO_DO = _calls(
    """
    sync 162 81, syncfs 306 267, fsync 74 82, fdatasync 75 83, sync_file_range 277 84, msync 26 227
"""
)
# With conditions on their arguments: `seccomp.py` says which.
CONDITIONAL = _calls(
    """
    clone 56 220, ioctl 16 29, prctl 157 167, fcntl 72 25, mmap 9 222, madvise 28 233, socketpair 53 199,
    sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212, kill 62 129, tkill 200 130, tgkill 234 131,
    sched_setaffinity 203 122, prlimit64 302 261, setrlimit 160 164
"""
)

# All that a Landlock job has, besides MISSING, NOTHING_TO_DO and CONDITIONAL. Seen (strace) in the interpreter with the
# standard library's modules, numpy, sympy, threads, asyncio, sqlite3 in memory, timers; beside each stand those that
# libc or another processor uses in its place. No call here changes a file's name, mode, owner, time or size.
ALLOWED = _calls(
    # Memory: malloc and the interpreter.
    """
    brk 12 214, munmap 11 215, mprotect 10 226, mremap 25 216,
"""
    # Reading what Landlock lets be opened, and writing one's own streams and pipes.
    """
    read 0 63, pread64 17 67, readv 19 65, preadv 295 69, write 1 64, pwrite64 18 68, writev 20 66,
    pwritev 296 70, open 2 -, openat 257 56, close 3 57, lseek 8 62, fstat 5 80, stat 4 -, lstat 6 -,
    newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -,
    readlinkat 267 78, getdents 78 -, getdents64 217 61, getcwd 79 17, dup 32 23, dup2 33 -, dup3 292 24,
    pipe 22 -, pipe2 293 59,
"""
    # asyncio, selectors, subprocess-like pipes, socketpair's ends.
    """
    poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20,
    epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, eventfd2 290 19, shutdown 48 210,
    getsockname 51 204, getpeername 52 205, getsockopt 55 209,
"""
    # time, timeit, threading's waits, signal.setitimer.
    """
    clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101,
    gettimeofday 96 169, time 201 -, times 100 153, getitimer 36 102, setitimer 38 103, alarm 37 -, pause 34 -,
"""
    # signal, faulthandler; waiting for children, of which there are none.
    """
    rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136,
    rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, restart_syscall 219 128, wait4 61 260,
    waitid 247 95,
"""
    # threading, OpenBLAS, libc's start of a thread.
    """
    futex 202 98, set_robust_list 273 99, set_tid_address 218 96, rseq 334 293, gettid 186 178,
    sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121, sched_getscheduler 145 120,
    sched_get_priority_max 146 125, sched_get_priority_min 147 126, getcpu 309 168, exit 60 93,
    exit_group 231 94,
"""
    # os.getpid and the like, platform, resource (a hard limit can only be lowered), random.
    """
    getpid 39 172, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
    getresuid 118 148, getresgid 120 150, getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156,
    uname 63 160, sysinfo 99 179, getrusage 98 165, getrlimit 97 163, getrandom 318 278,
    umask 95 166
"""
)
