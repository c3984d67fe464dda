"""Markdown on the chat page, drawn in a browser and read back as HTML."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.pages.conftest import open_page

playwright = pytest.importorskip("playwright.sync_api")

FOLDER = Path(__file__).parent
EXAMPLES = json.loads((FOLDER / "commonmark.json").read_text("utf-8"))
# Examples that are drawn otherwise, by their number, and why.
MATHEMATICS, BARE_LINK = "it has mathematics", "URLs in running text become links"
OTHER_EXAMPLES = {12: MATHEMATICS, 602: BARE_LINK, 608: BARE_LINK, 611: BARE_LINK}
BLOCK_TAG = re.compile(r"\n*(</?(?:p|h[1-6]|[uo]l|li|blockquote|pre|hr|table|thead|tbody|tr|t[dh]|section)\b[^>]*>)\n*")
CODE = "def f():\n    if x:\n\treturn 1\n\n- not an item"
Draw = Callable[[list[str]], list[str]]
# Draws each text, in the steps of a growing answer if `steps` is set.
DRAW = """async ([texts, toHtmlUrl, allowAllLinks]) => {
  const { toHtml } = await import(toHtmlUrl);
  const { MarkdownView } = await import("/pages/views/markdown.js");
  const { parser } = await import("/pages/views/markdown_parser.js");
  if (allowAllLinks) parser.validateLink = () => true;
  window.drawAll = (texts) => texts.map((text) => {
    const container = document.createElement("div");
    new MarkdownView(container).show(text);
    return [...container.childNodes].map(toHtml).join("");
  });
  window.drawGrowing = (text) => {
    const growing = document.createElement("div");
    const view = new MarkdownView(growing);
    for (let end = 1; end <= text.length; end += 1) {
      view.show(text.slice(0, end));
      const whole = window.drawAll([text.slice(0, end)])[0];
      const drawn = [...growing.childNodes].map(toHtml).join("");
      if (drawn !== whole) return [text.slice(0, end), drawn, whole];
    }
    return null;
  };
  return window.drawAll(texts);
}"""
CASES = {
    # lists
    "- a\n  - b\n    - c\n- d": "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "- [ ] a\n- [x] b\n- [X]\n- [x]c\n- [y] d": "<ul><li><input> a</li><li><input> b</li><li><input></li>"
    "<li>[x]c</li><li>[y] d</li></ul>",
    "- [ ] a\n\n  b": "<ul><li><p><input> a</p><p>b</p></li></ul>",
    # emphasis, also next to Chinese punctuation
    "***x** y*": "<p><em><strong>x</strong> y</em></p>",
    "**x *y*** ~~z~~ snake_case_name": "<p><strong>x <em>y</em></strong> <del>z</del> snake_case_name</p>",
    "2 * 3 * 4 ***x": "<p>2 * 3 * 4 ***x</p>",
    "**重点：**后面。这是**「引用」**的": "<p><strong>重点：</strong>后面。这是<strong>「引用」</strong>的</p>",
    # links
    "https://a.b/Foo_(bar)": '<p><a href="https://a.b/Foo_(bar)">https://a.b/Foo_(bar)</a></p>',
    "(see https://a.b/c).": '<p>(see <a href="https://a.b/c">https://a.b/c</a>).</p>',
    "(https://a.b/Foo_(bar))! xhttps://a.b": '<p>(<a href="https://a.b/Foo_(bar)">https://a.b/Foo_(bar)</a>)! xhttps://a.b</p>',
    "见https://a.b/c。然后 **https://a.b**": '<p>见<a href="https://a.b/c">https://a.b/c</a>。然后 '
    '<strong><a href="https://a.b">https://a.b</a></strong></p>',
    "[x](javascript:alert(1)) [y](/z) [w](data:text/html,1) <vbscript:x>": "<p>[x](javascript:alert(1)) [y](/z) "
    "[w](data:text/html,1) &lt;vbscript:x&gt;</p>",
    "[x](JaVaScRiPt&colon;alert(1)) [y](&#106;avascript:1) [z](https:x)": "<p>[x](JaVaScRiPt:alert(1)) [y](javascript:1) "
    "[z](https:x)</p>",
    "[![alt](http://i)](http://b) ![](http://c)": '<p><a href="http://b"><img src="http://i" alt="alt" /></a> '
    '<img src="http://c" alt="" /></p>',
    "[a](http://b 'c') [x][y]\n\n[y]: http://z": '<p><a href="http://b" title="c">a</a> <a href="http://z">x</a></p>',
    # entities
    "5 &lt; 6 &amp; x&nbsp;y &#8212; &#x2014; &nope;": "<p>5 &lt; 6 &amp; x\xa0y — — &amp;nope;</p>",
    "&#42;a&#42; &constructor; &#x202e; a&Tab;b": "<p>*a* &amp;constructor; ⟨U+202E⟩ a\tb</p>",
    # tables
    "| c | w |\n|:--|--:|\n| `a \\| b` | x \\| y |": "<table><thead><tr><th>c</th><th>w</th></tr></thead>"
    "<tbody><tr><td><code>a | b</code></td><td>x | y</td></tr></tbody></table>",
    # HTML is text, but for plain tags that are closed
    "a<br>b<br/>c H<sub>2</sub>O x<sup>*y*</sup>": "<p>a<br />\nb<br />\nc H<sub>2</sub>O x<sup><em>y</em></sup></p>",
    '<sub>a *<sub>b* c</sub> <b onclick="x">d</b> <kbd>': '<p><sub>a <em><sub>b</em> c</sub> <b onclick="x">d</b> <kbd></p>',
    "<div>\n**a**\n</div>": "<div>\n**a**\n</div>",
    # footnotes
    "a[^1] b[^x]\n\n[^1]: *note*": "<p>a<sup><button>[1]</button></sup> b[^x]</p>"
    "<section><ol><li><p><em>note</em> <button>↩\ufe0e</button></p></li></ol></section>",
    # mathematics
    r"\(x_1*y*\) and $a\_b$ and $$c$$ and \[d\]": r"<p><math>\(x_1*y*\)</math> and <math>$a\_b$</math> and "
    r"<math display>$$c$$</math> and <math display>\[d\]</math></p>",
    "\\[\n\\frac{a}{b}\n\n= c\n\\]\n$$ x\n- y $$\nend": "<math display>\\[\n\\frac{a}{b}\n\n= c\n\\]</math>"
    "<math display>$$ x\n- y $$</math><p>end</p>",
    "- a\n  $$\n  b\n  $$\n- c": "<ul><li>a<math display>$$\nb\n$$</math></li><li>c</li></ul>",
    "\\begin{align*}\na &= b \\\\\n\\end{align*}": "<math display>\\begin{align*}\na &amp;= b \\\\\n\\end{align*}</math>",
    "设$x$为 $5 and $6, $HOME and $PATH, 5 $ or $3 million or 4$": "<p>设<math>$x$</math>为 $5 and $6, $HOME and $PATH, 5 $ "
    "or $3 million or 4$</p>",
    "`$a$` \\$a$ $a\nb$ $ a$ $a $": "<p><code>$a$</code> $a$ <math>$a\nb$</math> $ a$ $a $</p>",
    "\\[not a link](/foo)\n\n\\( and \\( $$": "<p>[not a link](/foo)</p><p>( and ( $$</p>",
}


@pytest.fixture
def page(browser: Any, server_url: str) -> Iterator[Any]:
    """The chat page. Nothing may violate the content security policy."""
    record = "window.violations = []; document.addEventListener('securitypolicyviolation', () => window.violations.push(1))"
    with open_page(browser, server_url, init_script=record) as page:
        page.route(
            "**/tests/to_html.js",
            lambda route: route.fulfill(body=(FOLDER / "to_html.js").read_text(), content_type="text/javascript"),
        )
        yield page
        assert page.evaluate("window.violations") == []


def draw(page: Any, texts: list[str], *, allow_all_links: bool = False) -> list[str]:
    drawn: list[str] = page.evaluate(DRAW, [texts, "/tests/to_html.js", allow_all_links])
    return drawn


def normalize(html: str) -> str:
    return BLOCK_TAG.sub(r"\1", html).strip("\n")


def test_commonmarks_examples(page: Any) -> None:
    drawn = draw(page, [markdown for _, markdown, _ in EXAMPLES], allow_all_links=True)
    different = {
        number: f"{markdown!r} is drawn as {html}"
        for number, ((_, markdown, expected), html) in enumerate(zip(EXAMPLES, drawn, strict=True), 1)
        if normalize(html) != normalize(expected)
    }
    assert {number: text for number, text in different.items() if number not in OTHER_EXAMPLES} == {}
    assert different.keys() == OTHER_EXAMPLES.keys()


def test_blocks_and_spans(page: Any) -> None:
    drawn = draw(page, list(CASES))
    assert dict(zip(CASES, map(normalize, drawn), strict=True)) == {text: normalize(html) for text, html in CASES.items()}


def test_code_keeps_its_indentation(page: Any) -> None:
    def indented(columns: int) -> str:
        return "\n".join(" " * columns + line if line else "" for line in ("```py", *CODE.split("\n"), "```"))

    texts = [f"1. a\n{indented(3)}\n2. b", f"- a\n{indented(2)}\n- b", f"- a\n  - b\n\n{indented(4)}", indented(0)]
    for text, html in zip(texts, draw(page, texts), strict=True):
        assert f'<pre><code class="language-py">{CODE}\n</code></pre>' in html, text


@pytest.mark.parametrize(
    "text",
    [
        "".join(markdown for _, markdown, _ in EXAMPLES[0:40]),
        "\n".join(list(CASES)[:14]),
        "\n".join(list(CASES)[14:]),
        "- b\n*\n\n*a* **b\n\na | b\n--|--x\n\nc | d\n--|--\n1 | 2\n\n```js\nvar x\n\ny\n```\n",
        "$$\na\n\nb\n$$\n\n1. x\n\n   y\n2. z\n\\[ x\n- y\n\nz\n\\[ x\n- y \\]\n",
        "[a] and [b] [^1]\n\nlong\n\ntext\n\n[a]: http://a.b 'c'\n\nmore [b]\n\n[^1]: note\n\nend [a]\n",
    ],
)
def test_a_growing_answer_is_drawn_like_a_whole_one(page: Any, text: str) -> None:
    draw(page, [])
    assert page.evaluate("(text) => window.drawGrowing(text)", text) is None


def test_hostile_text_takes_linear_time(page: Any) -> None:
    pieces = [
        "[",
        "![",
        "[a](",
        "[^a]",
        "&",
        "\\|",
        "*a ",
        "**a_",
        "`a",
        "<a ",
        "<!--",
        "$a ",
        "\\(",
        "\\[\n",
        "$$ x\n",
        "> ",
        "- ",
        "|-",
        "https://",
        "<b>",
        "<b>x</b>",
        "$x$ ",
        "**a** ",
        "[a](http://b) ",
    ]
    texts = [piece * (40_000 // len(piece)) for piece in pieces] + ["[" * 9000 + "](http://a)" * 900]
    assert len(draw(page, texts)) == len(texts)
