"""HTML tables."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isfinite

from lmcraft.reports.language import say


def key_value_rows(rows: Mapping[str, str]) -> str:
    """The rows of an HTML table with a name and a value in each, without the <table> tag."""
    return "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items())


def say_metric(metric: Mapping[str, float | None]) -> str:
    """The number, and its interval if there is one, from the fields of a `Metric`."""
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    if value is None or not isfinite(value):  # JSON has neither infinity nor NaN
        return say("no finite value")
    if low is None:
        return f"{value:.3f}"
    return say("{value} ({low} to {high})", value=f"{value:.3f}", low=f"{low:.3f}", high=f"{high:.3f}")


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table with a row of headings, which scrolls sideways where the window is narrow."""
    heading = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table></div>'
