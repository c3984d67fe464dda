"""Stops a run, and resumes one in a process of its own.

Only the process that holds the lock of a run's folder is signaled, and only if it can be verified: its number alone could be
that of another process by now, or of a process of another machine that shares the folder. A resume holds the lock of
`lmcraft/resume.log` from before it starts until its process ends, so that there is never a second one, whichever server
starts it; and as its process is the leader of a session of its own, the server's end does not end it.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder.lock import ATTEMPTS, LOCK_NAME, SECONDS_BETWEEN_ATTEMPTS, holder_of
from lmcraft.runs.run import RESUME_LOG, TIME_FORMAT, Run
from lmcraft.runs.settings import read_settings
from lmcraft.runs.small_files import open_regular

MAX_LOG_BYTES = 2**20  # of earlier resumes; a longer resume.log is begun anew


class ControlError(UserError):
    """A run cannot be stopped or resumed as it is now."""


def stop(run: Run) -> int:
    """Ask the process of a run to stop after its current step, with everything saved; returns its number.

    Raises:
        ControlError: no process runs it, it is not a process of this machine, or another command runs it.
    """
    if run.is_part:
        raise _part_error(run)
    if not (holder := holder_of(run.folder.path)):
        if holder is None:
            raise ControlError(f"no process runs '{run.name}', so there is nothing to stop", code="run_not_running")
        raise _elsewhere_error(run)
    try:
        handle = os.pidfd_open(holder) if hasattr(os, "pidfd_open") else None
    except OSError as error:
        raise _elsewhere_error(run) from error
    try:
        # The handle was opened before the process is verified, so it is the verified one that gets the signal.
        if not _holds_lock(holder, run.folder.path / LOCK_NAME):
            raise _elsewhere_error(run)
        if handle is None:
            os.kill(holder, signal.SIGTERM)
        else:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError as error:
        raise ControlError(f"no process runs '{run.name}', so there is nothing to stop", code="run_not_running") from error
    except PermissionError as error:
        raise _elsewhere_error(run) from error
    finally:
        if handle is not None:
            os.close(handle)
    return holder


def _holds_lock(process: int, file: Path) -> bool:
    """Whether a process of this machine has the file of a lock open; where the system cannot say, whether it is running."""
    folder = Path(f"/proc/{process}/fd")
    if sys.platform != "linux":
        return process > 1
    try:
        lock = os.lstat(file)
        with os.scandir(folder) as entries:
            return any(_is_same(entry.path, lock) for entry in entries)
    except OSError:
        return False


def _is_same(path: str, status: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(path), status)  # noqa: PTH116
    return False


def resume(run: Run) -> int:
    """Continue a run from its last checkpoint in a new process; returns its number.

    Raises:
        ControlError: it is running or being resumed, another command runs it, or it has no checkpoint.
    """
    if run.is_part:
        raise _part_error(run)
    if not run.is_resumable:
        message = f"'{run.name}' cannot be resumed: it has no checkpoint, or no steps left"
        raise ControlError(message, code="no_checkpoint", values={"name": run.name})
    try:
        log = open_regular(run.folder.run / RESUME_LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        message = f"'{run.name}' cannot be resumed, since its folder cannot be written ({error.strerror or 'a link'})"
        raise ControlError(message, code="run_folder", values={"name": run.name}) from error
    try:
        if not _lock(log):
            raise ControlError(f"'{run.name}' is already being resumed", code="resume_started", values={"name": run.name})
        if holder_of(run.folder.path) is not None:
            raise ControlError(f"'{run.name}' is running already", code="run_is_running", values={"name": run.name})
        return _start(run, log)
    finally:
        os.close(log)


def _lock(log: int) -> bool:
    """Lock resume.log; the lock belongs to the process that inherits the descriptor, too."""
    for _ in range(ATTEMPTS):
        with suppress(BlockingIOError):
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    return False


def _start(run: Run, log: int) -> int:
    folder = run.folder.path
    program = [sys.executable, "-m", "lmcraft", run.command, str(run.folder.config_toml), "--resume", "--out", str(folder)]
    now = time.strftime(TIME_FORMAT, time.gmtime())
    if os.fstat(log).st_size > MAX_LOG_BYTES:
        os.ftruncate(log, 0)
    os.write(log, f"[{now}] resumed from the page of runs\n".encode())
    process = subprocess.Popen(
        program,
        cwd=_working_folder(run),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    threading.Thread(target=process.wait, daemon=True, name="resumed run").start()  # or it would stay a zombie
    return process.pid


def _working_folder(run: Run) -> Path:
    """Where the relative paths of a run's settings hold: where it was started, as it says or as its `out` shows."""
    folder = run.folder.path
    recorded = run.working_folder
    if recorded and Path(recorded).is_absolute() and Path(recorded).is_dir():
        return Path(recorded)
    out = Path(str(read_settings(run.folder.config_toml).get("out", "")))
    parts = out.parts
    if parts and not out.is_absolute() and folder.parts[-len(parts) :] == parts:
        return folder.parents[len(parts) - 1]
    return Path.cwd()


def _part_error(run: Run) -> ControlError:
    parent = str(run.as_json()["parent"] or ".")
    message = f"'{run.name}' is part of '{parent}': stop or resume the command that runs it, in its terminal"
    return ControlError(message, code="part_of_command", values={"parent": parent})


def _elsewhere_error(run: Run) -> ControlError:
    host = run.host or "unknown"
    message = (
        f"the process of '{run.name}' cannot be verified on this machine (it runs on '{host}'): stop it there, with Ctrl-C "
        "or `kill`"
    )
    return ControlError(message, code="run_elsewhere", values={"host": host})
