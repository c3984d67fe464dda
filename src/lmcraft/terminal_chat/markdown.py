"""Markdown for the terminal: parsed by markdown-it, drawn by rich.

Nothing that a model wrote is left out: HTML is text, the addresses of links and images stand beside their names, formulas
keep their source, and a single line feed is a line break.
"""

import re
from collections.abc import Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from pygments import token as token_types
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, ListItem, Markdown, MarkdownContext, TableElement, TextElement
from rich.segment import Segment
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from lmcraft.terminal_chat.growing_lines import allow_line_breaks

THEME = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "bold",
        "markdown.h5": "bold",
        "markdown.h6": "bold",
        "markdown.code": "cyan",
        "markdown.math": "cyan",
        "markdown.link_url": "blue underline",
        "markdown.block_quote": "none",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
    }
)
CODE_THEME = ANSISyntaxTheme(
    {  # those of the terminal's own colors that can be read on light and on dark ones
        token_types.Comment: Style(dim=True),
        token_types.Keyword: Style(color="magenta"),
        token_types.Operator.Word: Style(color="magenta"),
        token_types.String: Style(color="green"),
        token_types.Number: Style(color="cyan"),
        token_types.Name.Builtin: Style(color="cyan"),
        token_types.Name.Decorator: Style(color="cyan"),
        token_types.Name.Function: Style(bold=True),
        token_types.Name.Class: Style(bold=True),
        token_types.Name.Tag: Style(color="magenta"),
    }
)
# Pandoc's rule: no space inside of single dollars, and no digit after them, as in "from $5 to $6".
MATH = re.compile(
    r"\\\(.{1,999}?\\\)|\\\[.{1,999}?\\\]|\$\$.{1,999}?\$\$|\$(?![\s$])(?:\\.|[^$\\]){1,999}?(?<!\s)\$(?!\d)", re.DOTALL
)
MATH_CLOSING = {"\\[": "\\]", "$$": "$$"}


class ChatMarkdown(Markdown):
    """An answer, or a part of it, as rich draws it.

    Args:
        source: Markdown without control characters.
    """

    inlines = Markdown.inlines | {"math", "link_url"}

    def __init__(self, source: str) -> None:
        super().__init__("")
        self.parsed = _PARSER.parse(source)
        for token in self.parsed:
            if token.children is not None:
                token.children = list(_without_hidden_parts(token.children))


class _Heading(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _CodeBlock(CodeBlock):
    """Code between the lines of its fence, at the left margin, so that it can be copied."""

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> "_CodeBlock":
        block = cls(token.info.partition(" ")[0] or "text", "")
        block.fence, block.info = token.markup or "```", token.info
        return block

    fence = info = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).removesuffix("\n")
        yield Text(self.fence + self.info, style="dim")
        yield Syntax(code, self.lexer_name, theme=CODE_THEME, word_wrap=True, background_color="default")
        yield Text(self.fence, style="dim")


class _ListItem(ListItem):
    def render_number(self, console: Console, options: ConsoleOptions, number: int, last_number: int) -> RenderResult:
        width = len(str(last_number)) + 3
        lines = console.render_lines(
            self.elements, options.update(width=max(1, options.max_width - width)), style=self.style
        )
        for n, line in enumerate(lines):
            label = "" if n else f"{number}."
            yield Segment(f"{label:>{width - 1}} ", console.get_style("markdown.item.number"))
            yield from line
            yield Segment.line()


class _Table(TableElement):
    """A table without empty lines above and below."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            assert isinstance(table, Table)
            table.show_edge = False
            yield table


class _MathBlock(TextElement):
    style_name = "markdown.math"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text

    def on_text(self, context: MarkdownContext, text: str | Text) -> None:
        self.text.append(str(text).removesuffix("\n"), context.current_style)


ChatMarkdown.elements = {
    **Markdown.elements,
    "heading_open": _Heading,
    "fence": _CodeBlock,
    "code_block": _CodeBlock,
    "list_item_open": _ListItem,
    "math_block": _MathBlock,
    "table_open": _Table,
}


def last_block_start(source: str) -> int:
    """The position at which the last top-level block of a growing text begins; what is before it will not change."""
    complete = source[: source.rfind("\n") + 1]
    starts = [token.map[0] for token in _BLOCK_PARSER.parse(complete) if token.level == 0 and token.map is not None]
    if len(starts) < 2:
        return 0
    lines = source.splitlines(keepends=True) if "\r" not in source else source.split("\n")
    return sum(map(len, lines[: starts[-1]]))


def _inline_math(state: StateInline, silent: bool) -> bool:
    match = MATH.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        state.push("math", "math", 0).content = match[0]
    state.pos = match.end()
    return True


def _math_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A formula on lines of its own. One that is not closed yet goes to the end, unless an empty line ends it."""
    start = state.bMarks[start_line] + state.tShift[start_line]
    closing = MATH_CLOSING.get(state.src[start : start + 2], "")
    if state.is_code_block(start_line) or not closing:
        return False
    end, start = end_line, start + 2
    for line in range(start_line, end_line):
        text = state.src[start : state.eMarks[line]]
        if line > start_line and not text.strip():
            return False
        _, close, after = text.partition(closing)
        if close:
            if after.strip():
                return False
            end = line + 1
            break
        if line + 1 < end_line:
            start = state.bMarks[line + 1] + state.tShift[line + 1]
    if not silent:
        token = state.push("math_block", "", 0)
        token.map, token.content = [start_line, end], state.getLines(start_line, end, state.blkIndent, False)
        state.line = end
    return True


def _without_hidden_parts(tokens: Iterable[Token]) -> Iterator[Token]:
    """Tokens of inline text in which everything is shown: the addresses of links and images, and line breaks."""
    links: list[tuple[Token, str]] = []
    for token in tokens:
        if token.type == "softbreak":
            token.type = "hardbreak"
        if token.type == "link_open":
            links.append((token, ""))
            continue
        if token.type == "link_close":
            yield from _address(*links.pop())
            continue
        links = [(link, name + token.content) for link, name in links]
        if token.type == "text":
            token.content = allow_line_breaks(token.content)
        if token.type == "image":
            yield Token("text", "", 0, content=allow_line_breaks(token.content))
            yield from _address(token, token.content)
        else:
            yield token


def _address(link: Token, name: str) -> Iterator[Token]:
    """The address and the title of a link or an image, in parentheses, unless its name says the same."""
    address, title = (str(link.attrs.get(key, "")) for key in ("src" if link.type == "image" else "href", "title"))
    if title or address.removeprefix("mailto:") != name:
        yield Token("text", "", 0, content=" (" if name else "(")
        yield Token("link_url", "link_url", 0, content=address)
        yield Token("text", "", 0, content=f' "{title}")' if title else ")")


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    parser.disable("reference")  # a definition would be left out, and could change what is already on the screen
    for name in ("normalizeLink", "normalizeLinkText"):
        setattr(parser, name, lambda address: address)
    setattr(parser, "validateLink", lambda address: True)  # noqa: B010 - it is shown, not opened; mypy takes it for a method
    parser.inline.ruler.before("escape", "math", _inline_math)
    parser.block.ruler.before("fence", "math_block", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    return parser


_PARSER = _parser()
_BLOCK_PARSER = _parser()
_BLOCK_PARSER.core.ruler.enableOnly(["normalize", "block"])
