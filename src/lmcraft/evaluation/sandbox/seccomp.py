"""A filter of system calls: what a program needs in order to compute and to read files is allowed, all else is refused.

Installed with seccomp (Linux 3.17; x86-64 and AArch64), it holds for the process until its end, whatever runs in it. It
imports the standard library only, because it is loaded inside the sandbox, without the package.
"""

import ctypes
import errno
import platform
import struct
import sys

# Calls by name, with their numbers on x86-64 and AArch64; None: the architecture has no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "ioctl": (16, 29),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "fcntl": (72, 25),
    "getcwd": (79, 17),
    "readlink": (89, None),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "sigaltstack": (131, 132),
    "arch_prctl": (158, None),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "set_tid_address": (218, 96),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
}
# Allowed for reading only: the call's number, and which argument holds the flags.
READ_ONLY: dict[str, tuple[tuple[int, int] | None, tuple[int, int] | None]] = {
    "open": ((2, 1), None),
    "openat": ((257, 2), (56, 2)),
}
CLONE: tuple[int, int] = (56, 220)  # allowed for threads only
CLONE3 = 435  # its flags lie in memory, where a filter cannot look; without it, libraries use clone
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE_THREAD = 0x00010000
WRITING_FLAGS = 0o3 | 0o100 | 0o1000 | 0o20000000  # write, read and write, create, truncate, temporary file
X32_CALLS = 0x40000000

# Instructions of the filter's machine (BPF) and its results.
LOAD, JUMP_IF_EQUAL, JUMP_IF_GREATER_OR_EQUAL, JUMP_IF_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER_MODE = 38, 22, 2


class SandboxError(Exception):
    """The filter cannot be installed on this system."""


def install() -> None:
    """Install the filter for this process, for good.

    Raises:
        SandboxError: the system has no such filters.
    """
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        raise SandboxError(f"seccomp is not known for {sys.platform} on {platform.machine()}")
    program = build_filter(platform.machine())
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER_MODE, header, 0, 0):
        raise SandboxError(f"seccomp is not available: {errno.errorcode.get(ctypes.get_errno(), 'unknown error')}")


def build_filter(machine: str) -> bytes:
    """The filter's program: calls that are not listed fail with EPERM."""
    column, architecture = ARCHITECTURES[machine]
    steps = [
        _step(LOAD, value=ARCHITECTURE_OFFSET),
        _step(JUMP_IF_EQUAL, value=architecture, when_true=1),
        _step(RETURN, value=KILL),
        _step(LOAD, value=NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        steps += [_step(JUMP_IF_GREATER_OR_EQUAL, value=X32_CALLS, when_false=1), _step(RETURN, value=KILL)]
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            steps += [_step(JUMP_IF_EQUAL, value=number, when_false=1), _step(RETURN, value=ALLOW)]
    for calls in READ_ONLY.values():
        if (call := calls[column]) is not None:
            steps += _allow_by_flags(*call, WRITING_FLAGS, when_set=REFUSE | errno.EPERM, otherwise=ALLOW)
    steps += _allow_by_flags(CLONE[column], 0, CLONE_THREAD, when_set=ALLOW, otherwise=REFUSE | errno.EPERM)
    steps += [_step(JUMP_IF_EQUAL, value=CLONE3, when_false=1), _step(RETURN, value=REFUSE | errno.ENOSYS)]
    steps.append(_step(RETURN, value=REFUSE | errno.EPERM))
    return b"".join(steps)


def _allow_by_flags(number: int, argument: int, flags: int, *, when_set: int, otherwise: int) -> list[bytes]:
    """Decide about one call by whether any of the flags is set in an argument (its lower half)."""
    return [
        _step(JUMP_IF_EQUAL, value=number, when_false=4),
        _step(LOAD, value=ARGUMENTS_OFFSET + 8 * argument),
        _step(JUMP_IF_SET, value=flags, when_false=1),
        _step(RETURN, value=when_set),
        _step(RETURN, value=otherwise),
    ]


def _step(code: int, *, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, when_true, when_false, value)
