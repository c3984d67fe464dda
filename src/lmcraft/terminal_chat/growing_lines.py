"""The last lines on the terminal, which are drawn again as they change."""

import re
import sys

from rich.cells import cell_len
from rich.console import Console

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_TRAILING = re.compile(r"(?: |\x1b\[[0-9;]*m)+$")
# Between two characters of Chinese or Japanese, or one of them and a word; but no line begins with closing punctuation or
# ends with opening punctuation.
_IDEOGRAPHS = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_OPENING, _CLOSING = "（《〈「『【〔［｛“‘([{", "，。、！？；：）》〉」』】〕］｝”’…—ー,.!?;:)]}%"
_BREAK = re.compile(
    rf"(?<=[{_IDEOGRAPHS}])(?<![{re.escape(_OPENING)}])(?=[^\s{re.escape(_CLOSING)}])"
    rf"|(?<=[^\s{re.escape(_OPENING)}])(?=[{_IDEOGRAPHS}])(?![{re.escape(_CLOSING)}])"
)
_LINE_BREAK_ALLOWED = "\x1f"  # rich takes it for a space of no width; no text has control characters here
WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"  # a character that is wider than expected must not add a line


class GrowingLines:
    """Lines at the end of the screen; the cursor stays at the end of the last one.

    Lines that have left the screen at the top are not changed any more.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: list[str] = []

    def draw(self, lines: list[str]) -> None:
        """Show these lines in place of those that are shown."""
        shown, start = self._shown, 0
        while start < min(len(shown), len(lines)) and shown[start] == lines[start]:
            start += 1
        if start == len(shown) == len(lines):
            return
        if start == len(lines) > 0:  # there are fewer lines than before: the cursor has to go back to the last one
            start -= 1
        while start < len(shown) and self._rows(start) > self._console.height:
            start += 1
        if start == len(shown):
            text = ("\n" if shown else "") + "\n".join(lines[start:])
        elif len(shown) == len(lines) == start + 1 and lines[start].startswith(shown[start]):
            text = lines[start][len(shown[start]) :]
        else:
            rows = self._rows(start) - 1
            up = f"\x1b[{rows}A" if rows else ""
            text = f"\r{up}\x1b[J" + "\n".join(lines[start:])
        self._shown = lines
        write(WRAP_OFF + text + WRAP_ON)

    def keep(self, count: int) -> None:
        """Leave the first `count` lines as they are; the others, of which there is at least one, can still change."""
        self._shown = self._shown[count:]

    def end(self) -> None:
        """Leave all lines as they are, and the cursor below them."""
        if self._shown:
            write("\n")
        self._shown = []

    def _rows(self, start: int) -> int:
        """The rows from a shown line to the cursor; a terminal that became narrower has broken long lines."""
        width = self._console.width
        return sum(max(1, -(-cell_len(_STYLE.sub("", line)) // width)) for line in self._shown[start:])


def allow_line_breaks(text: str) -> str:
    """A text for rich, which breaks lines at spaces alone, with marks where Chinese and Japanese can be broken."""
    return _BREAK.sub(_LINE_BREAK_ALLOWED, text)


def without_padding(line: str) -> str:
    """A line that rich drew, without the spaces at its end and the marks of `allow_line_breaks`."""
    line = line.replace(_LINE_BREAK_ALLOWED, "")
    trailing = _TRAILING.search(line)
    if trailing is None:
        return line
    return line[: trailing.start()] + ("\x1b[0m" if "\x1b" in trailing[0] else "")


def write(text: str) -> None:
    """Write to standard output, with question marks for characters that its encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
