"""The text of an HTML page, without its tags."""

import re
from html import escape
from html.parser import HTMLParser

SUFFIXES = (".html", ".htm", ".xhtml")
HIDDEN = re.compile("head|title|script|style|template|noscript|svg|math")  # elements whose contents no reader sees
INLINE = re.compile(
    "a|abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|img|ins|kbd|label|link|mark|meta|q|rp|rt|ruby|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr"
)  # elements inside a line; every other one starts a line
_CDATA = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)  # text in XHTML
_UNFINISHED_TAG = re.compile(r"<[!/?A-Za-z]")
_SPACE = re.compile(r"[ \t\n\r\f]+")


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._hidden.clear()  # a head may be left open
        if HIDDEN.fullmatch(tag):
            self._hidden.append(tag)
        elif not INLINE.fullmatch(tag):
            self.parts.append("\n")
        self._preformatted += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not INLINE.fullmatch(tag):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif not INLINE.fullmatch(tag):
            self.parts.append("\n")
        self._preformatted -= tag == "pre" and self._preformatted > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            text = data if self._preformatted else _SPACE.sub(" ", data)
            at_start = not self._preformatted and (not self.parts or self.parts[-1].endswith("\n"))
            self.parts.append(text.lstrip(" ") if at_start else text)


def text_of_html(page: str) -> str:
    """The text of a page: one line per block, at most one blank line in a row; no scripts, styles and title."""
    parser = _TextParser()
    parser.feed(_CDATA.sub(lambda match: escape(match[1]), page))
    if _UNFINISHED_TAG.match(parser.rawdata):  # a comment or a tag that never ends
        parser.rawdata = ""
    parser.close()
    lines = (line.rstrip() for line in "".join(parser.parts).split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return text + "\n" if text else ""
