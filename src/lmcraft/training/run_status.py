"""status.json: how far a run is, for those who watch it from other processes."""

import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from lmcraft.errors import LmcraftError
from lmcraft.folder import ModelFolder, read_json, write_json
from lmcraft.training.budget import Use

STATUS_FILE = "status.json"
SECONDS_BETWEEN_WRITES = 1.0

State = Literal["running", "paused", "stopped", "finished", "failed"]


class RunStatus:
    """The status of the run in a folder, which the process that holds the folder's lock writes.

    A process that was killed leaves "running" behind; its lock tells.
    """

    def __init__(self, folder: ModelFolder, command: str, step: int, max_steps: int, limit: Use) -> None:
        """Write that the run is starting; `is_started` is set when its start is recorded."""
        self.is_started = False
        self.is_over = False
        """Whether the state at the end is set already."""
        self._file, self._limit = folder.run / STATUS_FILE, limit
        self._before = self._file.read_bytes() if self._file.is_file() else None
        self._is_new_folder = not folder.run.exists()
        folder.run.mkdir(parents=True, exist_ok=True)
        self._written_at = -math.inf
        self.values: dict[str, Any] = {
            "state": "running",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "cwd": str(Path.cwd()),
            "machine": "",
            "command": command,
            "parameters": None,
            "step": step,
            "max_steps": max_steps,
            "seconds_left": None,
            "message": "",
        }

    def is_due(self) -> bool:
        """Whether the latest write is long enough ago for the next one."""
        return not 0 <= time.monotonic() - self._written_at < SECONDS_BETWEEN_WRITES

    def set_state(self, state: State, message: str = "") -> None:
        """How the run ended; the first of several calls counts."""
        if not self.is_over:
            self.values |= {"state": state, "message": message.partition("\n")[0]}
        self.is_over = True

    def write(self, used: Use, values: Mapping[str, Any] | None = None) -> None:
        """Write the file, with values that have changed and what the run has used."""
        self.values |= values or {}
        self._written_at = time.monotonic()
        units = {"time": "seconds", "energy": "joules"}
        budget = {
            name: {unit: limit, "used": getattr(used, unit)}
            for name, unit in units.items()
            if math.isfinite(limit := getattr(self._limit, unit))
        }
        facts = {"started": self.is_started, "updated": time.time(), "budget": budget or None}
        write_json(self._file, {**self.values, **facts})

    def withdraw(self) -> None:
        """Leave the folder as it was before a command that was refused."""
        with suppress(OSError):
            if self._before is not None:
                self._file.write_bytes(self._before)
                return
            self._file.unlink(missing_ok=True)
            if self._is_new_folder:
                self._file.parent.rmdir()


def note_stop(folder: ModelFolder) -> None:
    """Say that a run was stopped before a start of it got as far as its status; the caller holds the folder's lock."""
    with suppress(OSError, LmcraftError):
        status = read_json(folder.run / STATUS_FILE)
        if status.get("state") != "finished":
            write_json(folder.run / STATUS_FILE, status | {"state": "stopped", "message": "", "updated": time.time()})
