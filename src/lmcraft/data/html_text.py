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


_LINK, _LINK_END = "\ue000", "\ue001"  # for private use, so that no page has them


class _MarkdownParser(_TextParser):
    """Keeps headings, paragraphs, code and the rows of tables apart, and marks the texts of links."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("nav", "footer"):
            self._hidden.append(tag)
        if tag in ("td", "th"):
            if self.parts and self.parts[-1].strip():
                self.parts.append(" | ")
            return
        super().handle_starttag(tag, attrs)
        if not self._hidden:
            self.parts += filter(None, [_MARKDOWN_STARTS.get(tag)])

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre" and self.parts:
            self.parts[-1] = self.parts[-1].removesuffix("\n")
        if tag not in ("td", "th", "tr"):
            super().handle_endtag(tag)
            self.parts += filter(None, [_MARKDOWN_ENDS.get(tag)])

    def handle_data(self, data: str) -> None:
        if data.strip() or self._preformatted or not (self.parts and self.parts[-1] == " | "):
            super().handle_data(data)


_HEADINGS = {f"h{n}": f"\n{'#' * n} " for n in range(1, 7)}
_MARKDOWN_STARTS = {**_HEADINGS, "p": "\n", "table": "\n", "dt": "\n", "pre": "\n```\n", "a": _LINK}
_MARKDOWN_ENDS = {**dict.fromkeys(_HEADINGS, "\n"), "p": "\n", "table": "\n", "dd": "\n", "pre": "```\n", "a": _LINK_END}
_WORDLESS_LINK = re.compile(rf"{_LINK}[^\w{_LINK_END}]*{_LINK_END}")  # such as the ¶ after a heading
_LINKS = re.compile(f"{_LINK}[^{_LINK_END}]*{_LINK_END}?")


def text_of_html(page: str) -> str:
    """The text of a page: one line per block, at most one blank line in a row; no scripts, styles and title."""
    return _parse(page, _TextParser())


def markdown_of_html(page: str) -> str:
    """The text of a page with `#` before its headings, fences around its code, and blank lines between paragraphs.

    The rows of tables are lines. Navigation is left out: its elements, footers, and lines that are a link alone.
    """
    lines = _parse(page, _MarkdownParser()).split("\n")
    kept = ("" if _LINK in line and not re.search(r"\w", _LINKS.sub("", line)) else line for line in lines)
    text = _WORDLESS_LINK.sub("", "\n".join(kept)).replace(_LINK, "").replace(_LINK_END, "")
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n" if text.strip() else ""


def _parse(page: str, parser: _TextParser) -> str:
    parser.feed(_CDATA.sub(lambda match: escape(match[1]), page))
    if _UNFINISHED_TAG.match(parser.rawdata):  # a comment or a tag that never ends
        parser.rawdata = ""
    parser.close()
    lines = (line.rstrip() for line in "".join(parser.parts).split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return text + "\n" if text else ""
