"""A row of a task's data, and the task's templates for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lmcraft.errors import UserError
from lmcraft.evaluation.templates import evaluate_expression, render_text


@dataclass(frozen=True)
class Row:
    """One row of a task's data."""

    number: int
    """Its index among the rows that are scored; 0 is the first."""
    values: Mapping[str, Any]
    origin: str
    """File and line."""

    def text(self, template: str, setting: str) -> str:
        """A template of the task for this row.

        Raises:
            UserError: it cannot be rendered; the message begins with file and line.
        """
        with self.errors():
            return render_text(template, self.values, setting)

    def value(self, expression: str, setting: str) -> Any:
        """An expression of the task for this row; errors as in `text`."""
        with self.errors():
            return evaluate_expression(expression, self.values, setting)

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
