"""Figures as Markdown: links to the files that they stand in."""

from collections.abc import Sequence

from lmcraft.reports.card.markdown import escape, link
from lmcraft.reports.evidence import Figure

MAX_ROWS = 60  # of a table


def value_of(figure: Figure, shown: str = "") -> str:
    """A figure as a link to its file, with its interval."""
    text = link(shown or format_value(figure.value), figure.file)
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({format_value(figure.low)} to {format_value(figure.high)})"


def format_value(value: float | int | str) -> str:
    """A number for people: three decimals, fewer if it is large, two digits if it is small."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if size >= 0.01 or value == 0 else f"{value:.2g}"


def percent(figure: Figure) -> str:
    assert not isinstance(figure.value, str)
    return value_of(figure, f"{figure.value:.1%}")


def capped(rows: Sequence[Sequence[str]], columns: int, file: str) -> Sequence[Sequence[str]]:
    """Rows of a table, at most `MAX_ROWS`, and where the others are."""
    if len(rows) <= MAX_ROWS:
        return rows
    more = link(f"and {len(rows) - MAX_ROWS:,} more", file)
    return [*rows[:MAX_ROWS], [more, *[""] * (columns - 1)]]
