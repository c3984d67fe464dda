"""HTML tables."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def key_value_rows(rows: Mapping[str, str]) -> str:
    """The rows of an HTML table with a name and a value in each, without the <table> tag."""
    return "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table with a row of headings."""
    heading = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{heading}</tr>{body}</table>"
