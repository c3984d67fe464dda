"""Results of `lmcraft evaluate`: a record of a task's figures beside the results of its items, written and read."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmcraft.evaluation.results import Figure as MeasuredFigure
from lmcraft.evaluation.results import TaskResult
from lmcraft.evaluation.task import Task
from lmcraft.folder import ModelFolder, sha256_of, write_json
from lmcraft.folder.names import RUN
from lmcraft.folder.recognition import read_object
from lmcraft.reports.evidence.figure import Figure, Record, Records, text
from lmcraft.reports.evidence.record import TaskEvaluation

FOLDER = f"{RUN}/evaluations"
MAX_FILES = 10_000


def write_figures(folder: ModelFolder, task: Task, settings: Mapping[str, Any], result: TaskResult) -> Path:
    """Write the figures of a result with their intervals, beside its items: `TASK-KEY.json` beside `TASK-KEY.jsonl`.

    A record that says the same is left alone, with the time at which it was measured.

    Args:
        folder: of the model.
        task: what was asked.
        settings: that the result depends on.
        result: of all its items.
    """
    file = result.file.with_suffix(".json")
    config = task.config
    contents = {
        "task": task.name,
        "task_hash": task.hash,
        "kind": config.kind,
        "description": config.description,
        "language": config.language,
        "source": config.source,
        "settings": dict(settings),
        "weights": identify_weights(folder),
        "items": len(result.items),
        "items_file": result.file.name,
        "items_sha256": sha256_of(result.file),
        "chance": result.chance,
        "figures": [_entry(figure) for figure in result.figures],
        "in_training_data": None if result.overlap is None else len(result.overlap.contained),
        "figures_without_these": [_entry(figure) for figure in result.clean_figures],
    }
    recorded = read_object(file)
    if {name: value for name, value in recorded.items() if name != "time"} != contents:
        write_json(file, contents | {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
    return file


def identify_weights(folder: ModelFolder) -> str:
    """A hash of the weights of a model folder, to tell results of these weights from those of earlier ones.

    It is that of the hashes in `lineage.json` if the folder has one, since hashing weights takes a second per GB.
    """
    lineage = read_object(folder.lineage)
    listed = lineage.get("weights") or lineage.get("files")
    recorded = listed if isinstance(listed, dict) else {}
    files = sorted(folder.path.glob("*.safetensors"))
    lines = [f"{recorded.get(file.name) or sha256_of(file)}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _entry(figure: MeasuredFigure) -> dict[str, Any]:
    metric = figure.metric
    return {
        "name": figure.measure.name,
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "items": figure.count,
        "higher_is_better": figure.measure.higher_is_better,
    }


def read_evaluations(records: Records, weights: str) -> tuple[list[TaskEvaluation], list[str]]:
    """The results of a folder by task, the latest of each task and its settings; and the files of other weights' results."""
    results: dict[tuple[str, str], TaskEvaluation] = {}
    outdated = []
    for file in _files(records):
        record = records.json(file)
        if record is None or not text(record.get("task")):
            continue
        if record.get("weights") != weights:
            outdated.append(file)
            continue
        result = _evaluation(records.folder.path, record)
        key = (result.task, repr(sorted(result.settings.items(), key=str)))
        if result.figures and (key not in results or results[key].time <= result.time):
            results[key] = result
    return [results[key] for key in sorted(results)], outdated


def _files(records: Records) -> Iterator[str]:
    folder = records.folder.path / FOLDER
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
    except OSError:
        return
    for name in names[:MAX_FILES]:
        if (folder / f"{name}l").is_file():
            yield f"{FOLDER}/{name}"


def _evaluation(folder: Path, record: Record) -> TaskEvaluation:
    task = text(record.get("task"))
    id = f"evaluation.{Path(record.file).stem}"
    figures = _figures(record, id, "figures")
    return TaskEvaluation(
        task=task,
        kind=text(record.get("kind")),
        description=text(record.get("description")),
        language=text(record.get("language")),
        origin=text(record.get("source")),
        settings=record.object("settings"),
        figures=figures,
        chance=record.figure(f"{id}.chance", "chance", "chance"),
        overlap=record.figure(f"{id}.in_training_data", "items in the training data", "in_training_data"),
        clean_figures=_figures(record, f"{id}.clean", "figures_without_these"),
        file=record.file,
        items=_items(folder, f"{record.file}l", id, figures),
        time=text(record.get("time")),
    )


def _items(folder: Path, file: str, id: str, figures: Sequence[Figure]) -> Figure | None:
    """The number of items, with the hash of their file, from which all figures are computed."""
    if not figures or figures[0].count is None:
        return None
    try:
        return Figure(f"{id}.items", "items", figures[0].count, file, sha256_of(folder / file))
    except OSError:
        return None


def _figures(record: Record, id: str, key: str) -> Sequence[Figure]:
    figures = []
    for index, entry in enumerate(record.array(key)):
        if not isinstance(entry, dict):
            continue
        name = text(entry.get("name"))
        better, items = entry.get("higher_is_better"), entry.get("items")
        figure = record.metric(
            f"{id}.{name}",
            name,
            key,
            index,
            count=items if isinstance(items, int) else None,
            higher_is_better=better if isinstance(better, bool) else None,
        )
        if figure is not None:
            figures.append(figure)
    return figures
