"""Exports of runs for TensorBoard and trackio, for those who look at their curves there."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.folder import atomic_write
from lmcraft.folder.output import Output, check_output
from lmcraft.runs.index import RunIndex
from lmcraft.runs.metrics import Metrics
from lmcraft.runs.run import Run
from lmcraft.runs.settings import read_settings

MAX_NAME_CHARS = 100
_EVENTS = Output(lambda path: "is not empty")


def export_tensorboard(index: RunIndex, out: Path) -> int:
    """Write the curves of all runs as TensorBoard's event files, a folder for each run; returns the number of runs.

    Raises:
        UserError: TensorBoard is not installed, or `out` is not empty.
    """
    events = import_optional("tensorboard.summary.writer.event_file_writer", "tensorboard", "--export tensorboard")
    event_proto = import_optional("tensorboard.compat.proto.event_pb2", "tensorboard", "--export tensorboard")
    summary_proto = import_optional("tensorboard.compat.proto.summary_pb2", "tensorboard", "--export tensorboard")
    check_output(out, _EVENTS, overwrite=False, sources=[("folder of runs", index.root)])
    count = 0
    with atomic_write(out, wait=False) as folder:
        folder.mkdir()
        for run, metrics in _runs(index):
            writer = events.EventFileWriter(str(folder / _folder_name(run)))
            for step, wall_time, values in _rows(run, metrics):
                value = [summary_proto.Summary.Value(tag=name, simple_value=number) for name, number in values.items()]
                summary = summary_proto.Summary(value=value)
                writer.add_event(event_proto.Event(wall_time=wall_time, step=step, summary=summary))
            writer.close()
            count += 1
    return count


def export_trackio(index: RunIndex, project: str, out: Path | None) -> int:
    """Add the curves and settings of all runs to a project of trackio; returns the number of runs.

    A row that an earlier export added is not added again.

    Args:
        index: of the runs.
        project: name of the project.
        out: trackio's folder; None: the one that it uses itself (TRACKIO_DIR).

    Raises:
        UserError: trackio is not installed, or refuses the name of the project.
    """
    storage = import_optional("trackio.sqlite_storage", "trackio", "--export trackio")
    before = storage.TRACKIO_DIR
    if out is not None:
        storage.TRACKIO_DIR = out.absolute()
    try:
        storage.SQLiteStorage.validate_project_name(project)
        count = 0
        for run, metrics in _runs(index):
            rows = list(_rows(run, metrics))
            storage.SQLiteStorage.bulk_log(
                project,
                run.name,
                [values for _, _, values in rows],
                steps=[step for step, _, _ in rows],
                timestamps=[datetime.fromtimestamp(wall_time, UTC).isoformat() for _, wall_time, _ in rows],
                config=read_settings(run.folder.config_toml),
                log_ids=[_row_id(run, step, values) for step, _, values in rows],
                run_id=_run_id(run),
            )
            count += 1
        return count
    except ValueError as error:
        raise UserError(f"project='{project}' is not accepted by trackio ({error}): choose another --project") from error
    finally:
        storage.TRACKIO_DIR = before


def _runs(index: RunIndex) -> Iterator[tuple[Run, Metrics]]:
    """Each run that has logged something, with its metrics."""
    for run in index.runs():
        _, metrics = index.metrics(run.id)
        if metrics.last_step >= 0:
            yield run, metrics


def _rows(run: Run, metrics: Metrics) -> Iterator[tuple[int, float, Mapping[str, float]]]:
    """Step, time and values of each row. A log has no times of day: they are the run's beginning and its seconds."""
    created = run.as_json()["created"] or time.time()
    seconds = 0.0
    for step, values in metrics.rows():
        seconds = values.get("seconds", seconds)
        yield step, created + seconds, values


def _run_id(run: Run) -> str:
    return hashlib.sha256(f"{run.folder.path}\n{run.as_json()['created']}".encode("utf-8", "replace")).hexdigest()[:32]


def _row_id(run: Run, step: int, values: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{_run_id(run)} {step} {values}".encode("utf-8", "replace")).hexdigest()[:32]


def _folder_name(run: Run) -> str:
    """The name of a run as a path, whose parts are no longer than file systems allow."""
    parts = run.name.replace("\0", "").split("/")
    return "/".join(part[:MAX_NAME_CHARS] for part in parts)
