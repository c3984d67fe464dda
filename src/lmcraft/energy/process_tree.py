"""The processor time of this process and of all its descendants: those that live, and those that ended."""

import os
import time
from pathlib import Path

PROC = Path("/proc")
MAX_ATTEMPTS = 3
# Fields of /proc/PID/stat after the name: times are in clock ticks.
STAT_PARENT = 1
STAT_TIMES = slice(11, 15)  # utime, stime, cutime, cstime
# The walk over all threads of all descendants takes at most a hundredth of the time; new ones are seen soon in any case.
WALK_SHARE = 0.01
MAX_WALK_PERIOD = 0.5


class ProcessTree:
    """This process and its descendants.

    Work in containers that another program starts, and daemons that leave their parent, are not among them.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._descendants: list[int] = []
        self._next_walk = 0.0

    def pids(self) -> list[int]:
        """This process, and its living descendants."""
        if time.monotonic() >= self._next_walk:
            begin = time.thread_time()
            self._descendants = _descendants(os.getpid(), self._proc)
            cost = time.thread_time() - begin
            self._next_walk = time.monotonic() + min(cost / WALK_SHARE, MAX_WALK_PERIOD)
        return [os.getpid(), *self._descendants]

    def processor_seconds(self) -> float:
        """Seconds of all threads of this process and of its descendants, also those that have ended.

        A descendant that ended is counted once its parent has waited for it. Where the system has no /proc, living ones are
        counted when they end.
        """
        for _ in range(MAX_ATTEMPTS):
            ended_before = _ended_children_seconds()
            living = sum(_seconds_of(pid, self._proc) for pid in self.pids()[1:])
            ended = _ended_children_seconds()
            if ended == ended_before:
                break
            self._next_walk = 0.0  # a child ended meanwhile, and may have been counted twice or not at all
        return time.process_time() + ended + living


def _ended_children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _descendants(pid: int, proc: Path) -> list[int]:
    """The living descendants of a process."""
    if not (proc / str(pid) / "task" / str(pid) / "children").exists():  # a kernel that was built without it
        return _descendants_by_parents(pid, proc)
    descendants: list[int] = []
    pending = [pid]
    while pending:
        parent = pending.pop()
        try:
            threads = os.listdir(proc / str(parent) / "task")  # noqa: PTH208 - a tenth of the time of iterdir
        except OSError:
            continue
        for thread in threads:  # a child belongs to the thread that started it
            try:
                children = (proc / str(parent) / "task" / thread / "children").read_text(encoding="ascii")
            except OSError:  # it has ended
                continue
            pids = [int(child) for child in children.split()]
            descendants += pids
            pending += pids
    return descendants


def _descendants_by_parents(pid: int, proc: Path) -> list[int]:
    """By the parent of each process of the system."""
    children: dict[int, list[int]] = {}
    try:
        pids = [int(name) for name in os.listdir(proc) if name.isdecimal()]  # noqa: PTH208
    except OSError:  # no Linux
        return []
    for each in pids:
        if fields := _stat(each, proc):
            children.setdefault(int(fields[STAT_PARENT]), []).append(each)
    descendants: list[int] = []
    pending = [pid]
    while pending:
        below = children.pop(pending.pop(), [])
        descendants += below
        pending += below
    return descendants


def _seconds_of(pid: int, proc: Path) -> float:
    """Of a process and of its ended children."""
    return sum(map(int, _stat(pid, proc)[STAT_TIMES])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int, proc: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces and brackets; empty if the process has ended."""
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()
