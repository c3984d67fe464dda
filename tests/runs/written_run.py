"""Writes the files of a run as a run writes them, and holds its lock in another process."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOLDER = """
import signal, sys, time
from pathlib import Path
from lmcraft.folder.lock import lock_folder
from lmcraft.training.signals import stop_on_signals
with lock_folder(Path(sys.argv[1]), wait=False), stop_on_signals() as stop:
    print("locked", flush=True)
    while not stop:
        time.sleep(0.01)
print("stopped", flush=True)
"""


class WrittenRun:
    """A run's folder.

    Args:
        path: of the folder.
        max_steps: of the run.
        settings: further lines of run.toml.
    """

    def __init__(self, path: Path, *, max_steps: int = 100, settings: str = "") -> None:
        self.path, self.files = path, path / "lmcraft"
        self.files.mkdir(parents=True)
        (self.files / "run.toml").write_text(
            f"max_steps = {max_steps}\nout = {json.dumps(path.name)}\ndepth = 1\n{settings}"
        )

    @property
    def metrics(self) -> Path:
        return self.files / "metrics.jsonl"

    def log(self, *rows: Mapping[str, Any]) -> None:
        """Append rows to the log."""
        with self.metrics.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def log_steps(self, first: int, last: int, *, eval_every: int = 0) -> None:
        """Append the rows of steps, with a validation every so many."""
        for step in range(first, last + 1):
            self.log(step_row(step))
            if eval_every and step % eval_every == 0:
                self.log({"step": step, "seconds": step / 10, "validation_loss": 4 + 1 / step})

    def rewrite(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace the log, as a resumed run does."""
        new = self.files / "new"
        new.write_text("".join(json.dumps(row) + "\n" for row in rows))
        new.replace(self.metrics)

    def status(self, state: str, **fields: Any) -> None:
        """Write status.json."""
        (self.files / "status.json").write_text(json.dumps({"state": state, "host": "", **fields}))

    def checkpoint(self, step: int, **progress: Any) -> None:
        """Make a checkpoint, as far as its progress goes."""
        folder = self.files / "checkpoints" / f"step-{step:06d}"
        folder.mkdir(parents=True)
        (folder / "progress.json").write_text(json.dumps({"step": step, **progress}))


def step_row(step: int) -> dict[str, Any]:
    """The row of a step."""
    return {"step": step, "loss": 5 + 1 / step, "tokens": 64 * step, "tokens_per_second": 640.0, "seconds": step / 10}


@contextmanager
def holding_lock(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a run's folder, and ends in an orderly way on SIGTERM."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
