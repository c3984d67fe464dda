"""The templates of a task: Jinja over the columns of a row, in the sandbox of the chat templates."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, UndefinedError

from lmcraft.errors import UserError
from lmcraft.tokenizer.sandbox import BUDGET, Budget, LimitedEnvironment


def render_text(template: str, row: Mapping[str, Any], field: str, **functions: Callable[..., Any]) -> str:
    """The text of a template for one row; `field` is the template's name in the task, for errors; `functions` are those
    that the template may call besides Jinja's own.

    Raises:
        UserError: the template is not valid, or the row lacks a column.
    """
    return _render(template, row, field, **functions)


def evaluate_expression(expression: str, row: Mapping[str, Any], field: str, **functions: Callable[..., Any]) -> Any:
    """The value of an expression for one row; the name of a column is the simplest one.

    Raises:
        UserError: as in `render_text`.
    """
    values: list[Any] = []

    def capture(value: Any) -> str:
        if isinstance(value, Undefined):
            str(value)  # raises the error of a missing column
        values.append(value)
        return ""

    _render("{{ capture__((" + expression + "\n)) }}", row, field, capture__=capture, **functions)
    value = values[0]
    return list(value) if not isinstance(value, str | list | Mapping) and hasattr(value, "__iter__") else value


def _render(template: str, row: Mapping[str, Any], field: str, **variables: Any) -> str:
    budget = BUDGET.set(Budget())
    try:
        return _compile(template).render({**variables, **row, "row": row})
    except UndefinedError as error:
        columns = ", ".join(map(str, row)) or "none"
        raise UserError(f"its {field} cannot be rendered: {error.message}; the columns are {columns}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise UserError(f"its {field} cannot be rendered: {error}") from error
    finally:
        BUDGET.reset(budget)


@cache
def _compile(template: str) -> Template:
    return _environment().from_string(template)


@cache
def _environment() -> LimitedEnvironment:
    return LimitedEnvironment(
        {"regex_replace": _regex_replace, "regex_split": _regex_split},
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )


def _regex_replace(text: str, pattern: str, replacement: str = "") -> str:
    return re.sub(pattern, replacement, text)


def _regex_split(text: str, pattern: str) -> list[str]:
    """The parts between the matches, without blank ones."""
    return [part for part in re.split(pattern, text) if part and part.strip()]
