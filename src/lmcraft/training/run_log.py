"""The metrics and samples of a run: one JSON object per line, and optionally TensorBoard events."""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from lmcraft.extras import import_optional
from lmcraft.folder import naming_file, write_json_lines
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.training.checkpoint import Progress
from lmcraft.training.task_scores import TaskScores, task_row


def read_log(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a metrics.jsonl or samples.jsonl.

    Raises:
        UserError: a line is damaged.
    """
    return read_json_lines(file, step=int)


class RunLog:
    """Appends to metrics.jsonl and samples.jsonl. Rows that `progress` does not include are dropped, since a resumed run
    writes them again.

    Each row is passed to the system at once, so that a kill of the process loses none. `sync`, before each checkpoint, has
    them written to the disk, so that a power failure loses no row before that checkpoint.

    Raises:
        UserError: `tensorboard` is set, but TensorBoard is not installed; or a line of a file is damaged.
    """

    def __init__(self, metrics: Path, samples: Path, progress: Progress, *, tensorboard: Path | None) -> None:
        for path in (metrics, samples):
            write_json_lines(path, [row for row in read_log(path) if includes(progress, row)])
        self._metrics, self._samples = metrics.open("a", encoding="utf-8"), samples.open("a", encoding="utf-8")
        self._writer = _summary_writer(tensorboard, progress.step) if tensorboard else None

    def log(self, step: int, **values: float) -> None:
        """Append one row of metrics, without values that are not finite."""
        _append(self._metrics, {"step": step, **{name: value for name, value in values.items() if math.isfinite(value)}})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def log_tasks(self, step: int, scores: TaskScores, *, seconds: float) -> None:
        """Append the scores on tasks, which took so many seconds, as one row of metrics."""
        _append(self._metrics, {"step": step, **task_row(scores), "task_seconds": seconds})
        if self._writer is not None:
            for task, score in scores.items():
                for name, metric in score.figures.items():
                    self._writer.add_scalar(f"{task}/{name}", metric.value, step)

    def sample(self, step: int, text: str) -> None:
        """Append one text that the model generated."""
        _append(self._samples, {"step": step, "text": text})

    def sync(self) -> None:
        """Have the system write all rows to the disk."""
        for file in (self._metrics, self._samples):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the files."""
        for file in (self._metrics, self._samples):
            with naming_file(Path(file.name)):
                file.close()
        if self._writer is not None:
            self._writer.close()


def includes(progress: Progress, row: Mapping[str, Any]) -> bool:
    """Whether a run has done what a row reports; a kill may come between a row and the checkpoint of its step."""
    latest = {"validation_loss": progress.measured_step, "text": progress.sampled_step, "tasks": progress.evaluated_step}
    return all(row["step"] <= step for step in (progress.step, *(latest[key] for key in latest if key in row)))


def _append(file: TextIO, row: dict[str, Any]) -> None:
    with naming_file(Path(file.name)):
        print(format_json_line(row), end="", file=file, flush=True)


class NullRunLog:
    """Writes nothing: for all processes of a run except the main one."""

    def log(self, step: int, **values: float) -> None: ...

    def log_tasks(self, step: int, scores: TaskScores, *, seconds: float) -> None: ...

    def sample(self, step: int, text: str) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


def _summary_writer(folder: Path, step: int) -> Any:
    tensorboard = import_optional("torch.utils.tensorboard", "tensorboard", "tensorboard=true")
    return tensorboard.SummaryWriter(str(folder), purge_step=step)
