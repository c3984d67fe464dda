"""The numbers of metrics.jsonl as columns: the rows with the same names are one table, a step column beside a matrix.

A row whose step is not above that of the row before it in its table replaces all rows from that step on: so does a run that
goes on from an earlier checkpoint.
"""

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite, nan
from operator import itemgetter
from typing import Any

import numpy as np

from lmcraft.runs.series import Series, Steps, Values
from lmcraft.runs.small_files import number

MAX_STEP = 2**53
MAX_TABLES = 64
MAX_NAMES = 1000
MAX_ROWS = 2_000_000
TASKS = "tasks"
LOWER, UPPER = "\0lower", "\0upper"
"""Ends of the names of columns with the ends of a figure's interval; NUL is in no name that the log brings."""
RECENT_ROWS = 20
Row = Mapping[str, Any]


class Table:
    """Rows that have the same names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = {name: n for n, name in enumerate(names)}
        self.steps = array("q")
        self._values = array("d")  # row by row
        self._pick: Callable[[Row], Iterable[Any]] = itemgetter(*names, "step")  # with two names or more, a tuple
        self._width = len(names) + 1

    def append(self, step: int, row: Row) -> bool:
        """Append a row; returns whether it replaced others."""
        rewinds = bool(self.steps) and step <= self.steps[-1]
        if rewinds:
            first = bisect_left(self.steps, step)
            del self.steps[first:], self._values[first * self._width :]
        try:
            self._values.extend(self._pick(row))
        except (TypeError, OverflowError):
            del self._values[len(self.steps) * self._width :]
            picked = (number(value) for value in self._pick(row))
            self._values.extend(nan if value is None else value for value in picked)
        self.steps.append(step)
        return rewinds

    def column(self, name: str, last_rows: int | None = None) -> tuple[Steps, Values]:
        """Steps and values of a column, or of its last rows, as copies; a value may be NaN."""
        rows = len(self.steps)
        first = 0 if last_rows is None else max(0, rows - last_rows)
        steps = np.frombuffer(self.steps, np.int64)[first:].copy()
        values = np.frombuffer(self._values, np.float64).reshape(rows, self._width)[first:, self.names[name]].copy()
        return steps, values

    def row(self, number: int) -> dict[str, float]:
        """The values of a row by name, without the ends of intervals."""
        start = number * self._width
        values = zip(self.names, self._values[start : start + self._width], strict=False)
        return {name: value for name, value in values if not name.endswith((LOWER, UPPER))}

    @property
    def num_bytes(self) -> int:
        """Of memory."""
        return self.steps.itemsize * len(self.steps) + self._values.itemsize * len(self._values)


class Metrics:
    """The columns of one run."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, ...], Table] = {}
        self.damaged_lines = 0
        self.last_step = -1
        self.chance: dict[str, float] = {}
        """By the name of a task's figure: that of a model that guesses."""
        self.is_cut = False
        """Whether rows were left out because there are too many."""

    def add_lines(self, lines: Sequence[bytes]) -> bool:
        """Add the rows in the lines of a file; returns whether any of them replaced others."""
        rewinds = False
        for row in _parse(lines):
            step = row.get("step") if isinstance(row, dict) else None
            if type(step) is not int or not 0 <= step < MAX_STEP:
                self.damaged_lines += 1
                continue
            if TASKS in row:
                row = self._flatten_tasks(row)
            table = self._tables.get(tuple(row)) or self._add_table(row)
            if table is None or self.num_rows >= MAX_ROWS:
                self.is_cut = True
            elif table.names:
                rewinds |= table.append(step, row)
                self._rows += 1
        self._recount()
        return rewinds

    _rows = 0

    def _recount(self) -> None:
        self._rows = sum(len(table.steps) for table in self._tables.values())
        self.last_step = max((table.steps[-1] for table in self._tables.values() if table.steps), default=-1)

    @property
    def num_rows(self) -> int:
        """The number of rows, those that were replaced since the last lines included."""
        return self._rows

    @property
    def num_bytes(self) -> int:
        """Of memory."""
        return sum(table.num_bytes for table in self._tables.values())

    @property
    def names(self) -> list[str]:
        """Of all columns that can be drawn."""
        columns = dict.fromkeys(name for table in self._tables.values() for name in table.names)
        return [name for name in columns if not name.endswith((LOWER, UPPER))]

    def _add_table(self, row: Row) -> Table | None:
        """The new table for rows with these names; None if there are too many."""
        names = [name for name, value in row.items() if name != "step" and (value is None or number(value) is not None)]
        num_names = sum(len(table.names) for table in self._tables.values())
        if len(self._tables) >= MAX_TABLES or num_names + len(names) > MAX_NAMES:
            return None
        table = self._tables[tuple(row)] = Table(names)
        return table

    def _flatten_tasks(self, row: Row) -> dict[str, Any]:
        """A row with a column for each figure of each task, and for the ends of its interval."""
        flat = {name: value for name, value in row.items() if name not in (TASKS, "items", "chance")}
        tasks, chance = row[TASKS], row.get("chance")
        for task, figures in tasks.items() if isinstance(tasks, dict) else ():
            for figure, ends in figures.items() if isinstance(figures, dict) else ():
                if not isinstance(ends, list) or not ends or number(ends[0]) is None:
                    continue
                name = f"{TASKS}/{task}/{figure}"
                flat[name] = ends[0]
                if len(ends) == 3 and all(number(end) is not None for end in ends):
                    flat[name + LOWER], flat[name + UPPER] = ends[1:]
            first = f"{TASKS}/{task}/{next(iter(figures), '')}" if isinstance(figures, dict) else ""
            guessing = number(chance.get(task)) if isinstance(chance, dict) else None
            if guessing is not None and first in flat and len(self.chance) < MAX_NAMES:
                self.chance[first] = guessing
        return flat

    def series(self, name: str) -> Series | None:
        """The points of a column; None if there is none of this name."""
        tables = [table for table in self._tables.values() if name in table.names]
        if not tables:
            return None
        steps, mean, low, high = (np.concatenate(parts) for parts in zip(*(_points(t, name) for t in tables), strict=True))
        if len(tables) > 1:
            order = np.argsort(steps, kind="stable")
            order = order[np.append(np.diff(steps[order]) != 0, [True])]  # of equal steps, the last
            steps, mean, low, high = steps[order], mean[order], low[order], high[order]
        kept = np.isfinite(mean)
        steps, mean, low, high = (values[kept] for values in (steps, mean, low, high))
        return Series(steps, np.where(np.isfinite(low), low, mean), np.where(np.isfinite(high), high, mean), mean)

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Step and finite values of each row, by step; the values of one step may come in several rows."""
        rows = [(step, n, i) for n, table in enumerate(self._tables.values()) for i, step in enumerate(table.steps)]
        tables = list(self._tables.values())
        for step, n, i in sorted(rows):
            values = tables[n].row(i)
            yield step, {name: value for name, value in values.items() if isfinite(value)}

    def latest(self, name: str) -> float | None:
        """The value of the last row that has it."""
        _, values = self._recent(name)
        return float(values[-1]) if len(values) else None

    def recent_median(self, name: str) -> float | None:
        """The median of the last rows that have a value."""
        _, values = self._recent(name)
        return float(np.median(values)) if len(values) else None

    def _recent(self, name: str) -> tuple[Steps, Values]:
        """Steps and finite values of the last rows of the table that has the latest step."""
        tables = [table for table in self._tables.values() if name in table.names and table.steps]
        if not tables:
            return np.empty(0, np.int64), np.empty(0)
        steps, values = max(tables, key=lambda table: table.steps[-1]).column(name, RECENT_ROWS)
        return steps[np.isfinite(values)], values[np.isfinite(values)]

    def lowest(self, name: str) -> tuple[int, float] | None:
        """Step and value of the lowest value, the first of equal ones."""
        series = self.series(name)
        if series is None or not len(series.steps):
            return None
        best = int(np.argmin(series.mean))
        return int(series.steps[best]), float(series.mean[best])


def _points(table: Table, name: str) -> tuple[Steps, Values, Values, Values]:
    """Steps, values, and the ends of the intervals, which are the values themselves where there is none."""
    steps, values = table.column(name)
    low, high = (table.column(name + end)[1] if name + end in table.names else values for end in (LOWER, UPPER))
    return steps, values, low, high


def _parse(lines: Sequence[bytes]) -> Iterable[Any]:
    """The value of each line that is not blank; a text for one that is damaged."""
    filled = [line for line in lines if line.strip()]
    try:
        rows = json.loads(b"[" + b",".join(filled) + b"]")
        if isinstance(rows, list) and len(rows) == len(filled):
            return rows
    except (ValueError, RecursionError):
        pass
    return [_parse_line(line) for line in filled]


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return ""
