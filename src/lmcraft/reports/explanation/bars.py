"""Numbers as bars in a table, to the left and to the right of zero."""

from collections.abc import Sequence
from math import isfinite

from lmcraft.reports.explanation.tokens import number


def bar_table(head: Sequence[str], rows: Sequence[tuple[str, float]], digits: int = 2) -> str:
    """A table with a row for each number.

    Args:
        head: the headings of the names and of the numbers, as HTML.
        rows: names, as HTML, and numbers.
        digits: shown behind the point.
    """
    finite = [value for _, value in rows if isfinite(value)]
    low, high = min(0.0, *finite, 0.0), max(0.0, *finite, 0.0)
    span = (high - low) or 1.0
    body = "".join(
        f'<tr><th scope="row">{name}</th><td class="figure">{number(value, digits, "+")}</td>'
        f"<td>{_bar(value, low, span)}</td></tr>"
        for name, value in rows
    )
    name, figure = head
    heading = f'<th scope="col">{name}</th><th scope="col" colspan="2">{figure}</th>'
    return frame_bars(heading, body)


def frame_bars(heading: str, body: str) -> str:
    """The table around its cells: names, numbers, bars."""
    columns = '<colgroup><col class="names"><col class="numbers"><col></colgroup>'
    return f'<table class="bars">{columns}<thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>'


def _bar(value: float, low: float, span: float) -> str:
    if not isfinite(value):
        return ""
    start, end = sorted((-low / span, (value - low) / span))
    side = "plus" if value >= 0 else "minus"
    style = f"left:{100 * start:.1f}%;width:{100 * (end - start):.1f}%"
    return f'<div class="track"><i style="left:{-100 * low / span:.1f}%"></i><b class="{side}" style="{style}"></b></div>'


def probability_bar(share: float) -> str:
    """A probability as a bar from the left."""
    width = 100 * min(1.0, max(0.0, share)) if isfinite(share) else 0.0
    return f'<div class="track"><b class="plus" style="left:0;width:{width:.1f}%"></b></div>'
