"""A row of a task's data, and the task's templates for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from lmcraft.errors import UserError
from lmcraft.evaluation.templates import evaluate_expression, render_text


@dataclass(frozen=True)
class Pool:
    """The rows of a task that are asked, or serve as examples."""

    rows: Sequence["Row"]
    _columns: dict[str, list[Any]] = field(default_factory=dict)

    def values(self, column: str) -> list[Any]:
        """The different values of a column, in order."""
        if column not in self._columns:
            values = [row.values[column] for row in self.rows if row.values.get(column) is not None]
            self._columns[column] = list(dict.fromkeys(values))
        return self._columns[column]


@dataclass(frozen=True)
class Row:
    """One row of a task's data."""

    number: int
    """Its index among the rows that are scored; 0 is the first."""
    values: Mapping[str, Any]
    origin: str
    """File and line."""
    pool: Pool | None = None
    """All rows that are asked, to draw wrong answers from."""

    def text(self, template: str, setting: str) -> str:
        """A template of the task for this row.

        Raises:
            UserError: it cannot be rendered; the message begins with file and line.
        """
        with self.errors():
            return render_text(template, self.values, setting, draw_choices=self._draw_choices)

    def value(self, expression: str, setting: str) -> Any:
        """An expression of the task for this row; errors as in `text`."""
        with self.errors():
            return evaluate_expression(expression, self.values, setting, draw_choices=self._draw_choices)

    def _draw_choices(self, column: str, count: int = 4) -> list[Any]:
        """The row's value of a column and those of other rows, `count` in all, in an order that depends on the row only."""
        if column not in self.values:
            columns = ", ".join(map(str, self.values))
            raise UserError(f"draw_choices('{column}') names no column: choose from {columns}")
        if count < 1:
            raise UserError(f"draw_choices('{column}', count={count}): count={count} must be at least 1")
        numbers = Random(repr(list(self.values.items())))
        right = self.values[column]
        values = self.pool.values(column) if self.pool else []
        if len(values) < count:
            raise UserError(
                f"draw_choices('{column}', {count}) needs {count} different values, but there are {len(values)}: lower it"
            )
        wrong = [value for value in numbers.sample(values, count) if value != right][: count - 1]
        choices = [right, *wrong]
        numbers.shuffle(choices)
        return choices

    def with_values(self, **values: Any) -> "Row":
        """The row with more columns."""
        return replace(self, values={**self.values, **values})

    def errors(self) -> "RowErrors":
        """A context in which a UserError gets file and line."""
        return RowErrors(self.origin)


@dataclass(frozen=True)
class RowErrors:
    """Puts file and line before the message of a UserError."""

    origin: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, UserError):
            raise UserError(f"{self.origin}: {error}") from error
