"""Markdown of texts from anywhere."""

import pytest
from markdown_it import MarkdownIt

from lmcraft.reports.card.markdown import clean, code, escape, link, table

HOSTILE = [
    "**bold** _it_ `code` ~~gone~~",
    "<script>alert(1)</script><!-- x -->",
    "[link](http://evil.example) ![image](x)",
    "a | b \\| c",
    "# heading",
    "- item",
    "1. item",
    "1) item",
    "--- ",
    "===",
    "> quote",
    "&lt;b&gt; &#65;",
    r"\\(x\\) $$y$$",
    "<!-- lmcraft:end -->",
    "``` fence",
    "www.evil.example http://evil.example a@evil.example",
    "data_v1_final and _x_",
]


def shown(markdown: str) -> str:
    """The text that a reader sees, if it is a single paragraph of text alone."""
    parser = MarkdownIt("gfm-like", {"linkify": False})
    tokens = [token for token in parser.parse(markdown) if token.type != "inline" or token.children]
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"], tokens
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    assert shown(escape(text)) == " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_stays_a_cell(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(table(["a", "b"], [[escape(text), code(text)]]))
    assert [token.type for token in tokens].count("td_open") == 2


def test_no_character_changes_the_lines_around_it() -> None:
    assert clean("a\nb\r\n\tc\x00\x1b[31m\u2028d\u202ee\ud800") == "a b c [31m de�"
    assert clean("x" * 400) == "x" * 299 + "…"


def test_the_target_of_a_link_cannot_end_it() -> None:
    assert link("x", "lmcraft/a) b#c%.json") == "[x](lmcraft/a%29%20b%23c%25.json)"


def test_plain_names_stay_readable() -> None:
    assert (escape("my-data_v1 2.0"), code("data/v1.txt")) == ("my-data_v1 2.0", "`data/v1.txt`")
