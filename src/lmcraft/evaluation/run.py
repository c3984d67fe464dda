"""Runs tasks, keeps the result of each item as it comes, and continues where an interrupted run stopped."""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.evaluation.contamination import find_overlap, read_documents
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods import METHODS, Method
from lmcraft.evaluation.results import ItemResult, TaskResult, compute_figures
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task
from lmcraft.folder import DatasetFolder, write_json_lines
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.terminal import ReportProgress

KEY_CHARACTERS = 12


@dataclass(frozen=True)
class Evaluation:
    """A model, the settings that its results depend on, and the folder of the results."""

    model: EvaluatedModel
    fingerprint: str
    """Hash of the model."""
    settings: Mapping[str, Any]
    """Precision and the like."""
    folder: Path
    training_data: DatasetFolder | None = None
    """What the model was trained on, to look for the items in it."""
    count_items: Callable[[int], None] = lambda count: None
    """Called with the number of items that have been scored, each time some have."""

    def open_method(self, task: Task, limit: int = 0) -> Method:
        """The items of a task, checked, before any is scored; arguments and errors as in `run`."""
        self.model.check_kind(task.config.kind)
        return open_method(task, limit)

    def run(
        self,
        task: Task,
        *,
        limit: int = 0,
        report: ReportProgress = lambda done, total: None,
        stop_signal: Callable[[], int] = lambda: 0,
    ) -> TaskResult:
        """Score a task; items that an earlier run of the same model and task has scored are not scored again.

        Args:
            task: the task.
            limit: number of items, drawn at random, always the same; 0: that of the task.
            report: called with the number of items done, and their total.
            stop_signal: the number of the signal that asks to stop; 0: none.

        Raises:
            UserError: the task cannot be used, or does not fit the model.
            RunError: the model's outputs are not numbers, or the disk is full.
            InterruptedRunError: asked to stop; the results so far are kept.
        """
        return self.run_method(self.open_method(task, limit), report=report, stop_signal=stop_signal)

    def run_method(
        self,
        method: Method,
        *,
        report: ReportProgress = lambda done, total: None,
        stop_signal: Callable[[], int] = lambda: 0,
    ) -> TaskResult:
        """Score the items of an open task; arguments and errors as in `run`."""
        task, rows = method.task, method.rows
        file = self.folder / f"{task.name}-{self._key(task)}.jsonl"
        results = _open_results(file, self._header(task))
        numbers = {row.number for row in rows}
        done = numbers & results.keys()
        was_cached = done == numbers
        report(len(done), len(rows))
        if not was_cached:
            self._score(method, file, results, done, len(rows), report, stop_signal)
        items = [results[row.number] for row in rows]
        figures = compute_figures(method.measures, items)
        result = TaskResult(task.name, figures, method.chance(), items, file, was_cached)
        return self._check_overlap(method, result, report)

    def _check_overlap(self, method: Method, result: TaskResult, report: ReportProgress) -> TaskResult:
        """With the items that the training data contain, and the figures without them."""
        if self.training_data is None:
            return result
        texts = {row.number: method.item_text(row) for row in method.rows}
        overlap = find_overlap(texts, read_documents(self.training_data, report))
        clean = [item for item in result.items if item.item not in overlap.contained] if overlap.contained else []
        return replace(result, overlap=overlap, clean_figures=compute_figures(method.measures, clean))

    def _score(
        self,
        method: Method,
        file: Path,
        results: dict[int, ItemResult],
        done: set[int],
        total: int,
        report: ReportProgress,
        stop_signal: Callable[[], int],
    ) -> None:
        with file.open("ab") as handle:
            for batch in method.score(self.model, frozenset(done)):
                handle.write("".join(format_json_line(result.to_json()) for result in batch).encode())
                handle.flush()
                os.fsync(handle.fileno())
                results.update((result.item, result) for result in batch)
                done |= {result.item for result in batch}
                self.count_items(len(batch))
                report(len(done), total)
                if len(done) < total and (number := stop_signal()):
                    raise InterruptedRunError(
                        f"stopped by a signal after {len(done)} of {total} items of '{method.task.name}', which are saved; "
                        "run the same command again to continue",
                        number,
                    )

    def _key(self, task: Task) -> str:
        return sha256(format_json_line(self._header(task)).encode()).hexdigest()[:KEY_CHARACTERS]

    def _header(self, task: Task) -> dict[str, Any]:
        return {
            "task": task.name,
            "task_hash": task.hash,
            "model": self.fingerprint,
            "settings": dict(self.settings),
            "lmcraft": version("lmcraft"),
        }


def choose_rows(rows: Sequence[Row], limit: int) -> list[Row]:
    """All rows, or `limit` of them drawn at random: always the same, and a smaller draw is part of a larger one."""
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    return [rows[number] for number in sorted(order[: limit or len(rows)])]


def open_method(task: Task, limit: int = 0) -> Method:
    """The items of a task, checked; `limit` as in `Evaluation.run`.

    Raises:
        UserError: the task cannot be used.
    """
    return METHODS[task.config.kind](task, choose_rows(task.rows(), limit or task.limit))


def _open_results(file: Path, header: Mapping[str, Any]) -> dict[int, ItemResult]:
    """The results in a file, by item; the file is created if there is none, and a line that a crash cut is removed.

    Raises:
        UserError: a line is damaged, or the results are of another task or model.
    """
    rows = list(read_json_lines(file))
    if not rows:
        write_json_lines(file, [header])
        return {}
    if rows[0] != header:
        raise UserError(f"'{file}' holds other results than its name says: move it away")
    if not file.read_bytes().endswith(b"\n"):
        write_json_lines(file, rows)
    results: dict[int, ItemResult] = {}
    for row in rows[1:]:
        try:
            result = ItemResult.from_json(row)
        except TypeError as error:
            line = format_json_line(row).rstrip()
            raise UserError(f"'{file}' has a line that is no result, {line:.100}: remove the line") from error
        results.setdefault(result.item, result)
    return results
