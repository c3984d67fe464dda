"""The process in which a program runs: `python -I child.py`, with the program and its limits as JSON on standard input.

It has the standard library only. On standard output it prints nothing but the secret that it was given, after the program
has ended without an exception; what the program prints goes nowhere.
"""

import io
import json
import os
import resource
import sys
from math import ceil
from pathlib import Path

# Of audit hooks, by their beginnings: processes, sockets, foreign functions, and changes of files.
REFUSED_EVENTS = (
    *("os.fork", "os.exec", "os.posix_spawn", "os.system", "os.kill", "os.putenv", "subprocess.", "socket.", "ctypes."),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *("shutil.", "sqlite3.", "signal.pthread_kill", "urllib.", "webbrowser.", "ftplib."),
)


def main() -> None:
    """Read the program, give up every right that it does not need, and run it."""
    task = json.load(sys.stdin)
    report = os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    os.chdir("/")
    set_limits(task["seconds"], task["memory_bytes"])
    confine(str(Path(__file__).resolve().parent))
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), io.StringIO(), io.StringIO()
    secret = task["secret"].encode()
    try:
        exec(compile(task["program"], "<program>", "exec"), {"__name__": "__main__"})
    except BaseException as error:
        os.write(report, f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
        os._exit(1)
    os.write(report, secret)
    os._exit(0)


def set_limits(seconds: float, memory_bytes: int) -> None:
    """Limit processor time and memory, and allow no new files and no memory dumps."""
    cpu_seconds = max(1, ceil(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # SIGXCPU first
    for limit, value in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (value, value))


def confine(folder: str) -> None:
    """Install the filter of system calls; where the system has none, refuse the same in Python, which is weaker."""
    sys.path.insert(0, folder)
    import seccomp  # type: ignore[import-not-found]

    sys.path.remove(folder)
    try:
        seccomp.install()
    except seccomp.SandboxError:
        sys.addaudithook(refuse)


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: processes, sockets, foreign functions and changes of files raise PermissionError."""
    writes = (
        event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )
    if writes or event.startswith(REFUSED_EVENTS):
        raise PermissionError(f"{event} is not allowed in the sandbox")


if __name__ == "__main__":
    main()
