"""The name of a process that holds a lease, from which another process of the same machine can tell that it has ended."""

import os
import socket
from functools import cache
from pathlib import Path


def process_name() -> str:
    """The machine, then the id and the start of this process and of its parent, as "MACHINE:ID:START:ID:START"."""
    processes = (os.getpid(), os.getppid())
    return ":".join([_machine(), *(f"{process}:{_start(process)}" for process in processes)])


def is_here(name: str) -> bool:
    """Whether a process of this machine has, or had, the name."""
    return name.split(":")[0] == _machine()


def has_ended(name: str) -> bool:
    """Whether the process of a name has certainly ended; false for processes of other machines."""
    return is_here(name) and _is_over(*name.split(":")[1:3])


def parent_has_ended(name: str) -> bool:
    """Whether the parent of the process of a name has certainly ended; false for those of other machines."""
    return is_here(name) and _is_over(*name.split(":")[3:5])


def _is_over(process: str, start: str) -> bool:
    return start != "" and _start(int(process)) != start


@cache
def _machine() -> str:
    """The host, its boot and the namespace of its process ids: within it, an id names one process at a time."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        return f"{socket.gethostname()}/{boot.read_text().strip()}/{namespace.readlink()}".replace(":", "")
    except OSError:  # not Linux
        return socket.gethostname().replace(":", "")


def _start(process: int) -> str:
    """When a process started, in ticks since the boot; empty if it has ended, or the system does not say."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = status.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
