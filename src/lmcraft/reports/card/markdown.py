"""Markdown of texts from anywhere: names, licenses and descriptions cannot change the page that they stand in."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import quote

MAX_CHARACTERS = 300
# What Markdown and HTML give a meaning, and ":" and "@", of which links are made without any mark. A "\\" and a "$" become
# entities, since the hub reads formulas before it reads Markdown.
MARKUP = re.compile(r"[`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])|[&<>\\$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
ENTITIES = "&<>\\$@:."
AT_START = re.compile(r"(?:[-+=]|#{1,6}|\d{1,9}[.)])(?=\s|$)|-{3}|={3}")  # of a list, a heading or a line
PLAIN_CODE = re.compile(r"[\w./:, =+-]+", re.ASCII)
# Characters that turn the direction of the text around them (Unicode TR 36, section 2.10.3).
DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str, length: int = MAX_CHARACTERS) -> str:
    """A text on one line, without control characters, lone surrogates and changes of direction."""
    kept = "".join(
        " "
        if unicodedata.category(character) in ("Cc", "Zl", "Zp")
        else "�"
        if "\ud800" <= character <= "\udfff"
        else character
        for character in text[: 4 * length]
    )
    line = " ".join(DIRECTIONS.sub("", kept).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def escape(text: str, length: int = MAX_CHARACTERS) -> str:
    """A text as Markdown that shows it as it is."""
    line = clean(text, length)
    start = AT_START.match(line)
    escaped = MARKUP.sub(lambda match: f"&#{ord(match[0])};" if match[0] in ENTITIES else f"\\{match[0]}", line)
    if start is None:
        return escaped
    mark = start.end() - 1  # digits come before it, or the same mark
    return f"{escaped[:mark]}\\{escaped[mark:]}"


def code(text: str, length: int = MAX_CHARACTERS) -> str:
    """A text in the font of code."""
    line = clean(text, length)
    return f"`{line}`" if PLAIN_CODE.fullmatch(line) else f"<code>{escape(line, length)}</code>"


def link(text: str, target: str) -> str:
    """A link with a text that is Markdown already, to a path in the folder or an address."""
    return f"[{text}]({quote(target, safe='/:.-_~')})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; empty without rows."""
    lines = [_row(row) for row in rows]
    if not lines:
        return ""
    return "\n".join([_row(head), _row(["---"] * len(head)), *lines])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def bullets(lines: Iterable[str]) -> str:
    """A list of lines that are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def paragraphs(*parts: str) -> str:
    """Parts of a page with an empty line between them; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)
