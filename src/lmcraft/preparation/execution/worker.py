"""The program of a worker: `python -m lmcraft.preparation.execution.worker DESCRIPTOR`.

Reads tasks from standard input and writes answers to standard output, both in JSON lines, and everything that libraries
print to standard error. When standard input is closed, its parent has ended, however it did, and so does the worker.

The argument is the descriptor of a small file that it shares with its parent: there, it writes the document that it reads,
so that its parent can name a document that ends the worker, or keeps it for too long.
"""

import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from lmcraft.preparation.execution.position import SharedPosition
from lmcraft.preparation.execution.task import Task, format_answer, parse_task, perform

PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)


def _read_tasks(parent: int) -> Iterator[Task]:
    """Yield the tasks of the parent; the process ends when the parent does, whatever it does then."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        with suppress(OSError), open(parent, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    lines.put(line)
        os._exit(0)

    Thread(target=read, name="parent", daemon=True).start()
    while True:
        yield parse_task(lines.get())


def _end_with_parent() -> None:
    """Have Linux end this process at once when the parent ends, even while it runs code that holds Python's lock."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Do the tasks from standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the workers, too; the parent decides
    _end_with_parent()
    parent, answers = os.dup(0), os.dup(1)  # what the units and their libraries do with 0 and 1 stays apart
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    faulthandler.enable()
    position = SharedPosition(int(sys.argv[1]))
    for task in _read_tasks(parent):
        os.write(answers, format_answer(perform(task, position)))


if __name__ == "__main__":
    main()
