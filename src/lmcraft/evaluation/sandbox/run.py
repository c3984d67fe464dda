"""Starts a program in the sandbox, and tells how it ended."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from lmcraft.errors import RunError

CHILD = Path(__file__).with_name("child.py")
START_SECONDS = 5.0  # for the interpreter, on a busy machine
MAX_REPORT_BYTES = 4096


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    passed: bool
    """Whether it ran to its end without an exception."""
    reason: str
    """Why not: the exception, or the limit that it exceeded; empty if it passed."""


def run_program(program: str, *, seconds: float = 10.0, memory_bytes: int = 2**30) -> Outcome:
    """Run a Python program that nobody has read.

    It cannot start processes, open sockets, or create, change or remove files, and ends with its limits. On Linux the kernel
    enforces that, for everything in the process; elsewhere Python does, which a program that tries hard can evade.

    Args:
        program: the source.
        seconds: processor time, and time by the clock beside the start of the interpreter.
        memory_bytes: address space.

    Raises:
        RunError: the process cannot be started.
    """
    secret = token_hex(16)
    task = {"program": program, "secret": secret, "seconds": seconds, "memory_bytes": memory_bytes}
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(f"the sandbox cannot be started ({error}): free memory, or end other programs") from error
    try:
        output, _ = process.communicate(json.dumps(task).encode(), timeout=seconds + START_SECONDS)
    except subprocess.TimeoutExpired:
        return Outcome(passed=False, reason=f"took longer than {seconds:g} seconds")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    report = output[:MAX_REPORT_BYTES].decode("utf-8", "replace")
    if process.returncode == 0 and report == secret:
        return Outcome(passed=True, reason="")
    if process.returncode == -signal.SIGXCPU:
        return Outcome(passed=False, reason=f"took longer than {seconds:g} seconds")
    if process.returncode < 0:
        return Outcome(passed=False, reason=f"ended by {signal.Signals(-process.returncode).name}")
    return Outcome(passed=False, reason=report or "ended before its last line")
