"""Markdown on the chat page, rendered in Node to HTML."""

import html
import json
import shutil
import subprocess
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[3] / "src" / "lmcraft" / "server" / "pages"
# The few parts of the DOM that the module uses, and HTML as their text form.
RENDER = """
class Node {
  constructor(tag) { this.tag = tag; this.childNodes = []; this.attributes = {}; this.classList = { add() {} }; }
  append(...nodes) { this.childNodes.push(...nodes); }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener() {}
  get lastChild() { return { remove: () => this.childNodes.pop() }; }
  set textContent(text) { this.childNodes = [text]; }
  toString() {
    const shown = Object.entries(this.attributes).filter(([name]) => ["href", "start"].includes(name));
    const attributes = shown.map(([name, value]) => ` ${name}="${value}"`).join("");
    return `<${this.tag}${attributes}>${this.childNodes.map(String).join("")}</${this.tag}>`;
  }
}
globalThis.Node = globalThis.HTMLElement = Node;
globalThis.document = { createElement: (tag) => new Node(tag), createElementNS: (_, tag) => new Node(tag) };
globalThis.navigator ??= {};
globalThis.localStorage = { getItem: () => "en" };
const { renderMarkdown } = await import(process.argv[2]);
const results = JSON.parse(process.argv[3]).map((text) => {
  const container = new Node("div");
  renderMarkdown(container, text);
  return container.childNodes.map(String).join("");
});
console.log(JSON.stringify(results));
"""
CODE = "def f():\n    if x:\n\treturn 1\n\n- not an item"
CASES = {
    # lists: nesting, code inside items
    "- a\n  - b\n    - c\n- d": "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>",
    "- a\n    - b\n        - c": "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>",
    "1. a\n  - b\n    - c\n2. d": "<ol><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ol>",
    "1. a\n   1. b\n      1. c": "<ol><li>a<ol><li>b<ol><li>c</li></ol></li></ol></li></ol>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "- a\n\t- b\n\t\t- c": "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>",
    # emphasis
    "***x***": "<p><em><strong>x</strong></em></p>",
    "***x** y*": "<p><em><strong>x</strong> y</em></p>",
    "**x *y***": "<p><strong>x <em>y</em></strong></p>",
    "*x **y***": "<p><em>x <strong>y</strong></em></p>",
    "___x___ snake_case_name": "<p><em><strong>x</strong></em> snake_case_name</p>",
    "**x** and *y* 2 * 3 * 4": "<p><strong>x</strong> and <em>y</em> 2 * 3 * 4</p>",
    "***": "<hr></hr>",
    "***x": "<p>***x</p>",
    # links
    "https://a.b/Foo_(bar)": '<p><a href="https://a.b/Foo_(bar)">https://a.b/Foo_(bar)</a></p>',
    "(see https://a.b/c).": '<p>(see <a href="https://a.b/c">https://a.b/c</a>).</p>',
    "(https://a.b/Foo_(bar))!": '<p>(<a href="https://a.b/Foo_(bar)">https://a.b/Foo_(bar)</a>)!</p>',
    "[x](https://a.b/Foo_(bar))": '<p><a href="https://a.b/Foo_(bar)">x</a></p>',
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>",
    "[a [b] c](http://d)": '<p><a href="http://d/">a [b] c</a></p>',
    "[**a** `b`](http://d)": '<p><a href="http://d/"><strong>a</strong> <code>b</code></a></p>',
    "[![alt](i)](http://b)": '<p><a href="http://b/">alt</a></p>',
    "[![](i.png)](http://b)": '<p><a href="http://b/">i.png</a></p>',
    "[![a](http://i/x.png) b](http://b)": '<p><a href="http://b/">a b</a></p>',
    "![chart](http://a/i.png)!": '<p><a href="http://a/i.png">chart</a>!</p>',
    "![](http://a/i.png)": '<p><a href="http://a/i.png">http://a/i.png</a></p>',
    "[a [b](http://c) d](http://e)": '<p>[a <a href="http://c/">b</a> d](http://e)</p>'.replace(
        "http://e)", '<a href="http://e/">http://e</a>)'
    ),
    "[a \\] b](http://d)": '<p><a href="http://d/">a ] b</a></p>',
    "[http://x](http://d)": '<p><a href="http://d/">http://x</a></p>',
    "[x](http://a/?b=1&amp;c=2)": '<p><a href="http://a/?b=1&c=2">x</a></p>',
    "[](http://d) [ ] [x] (y) [a[b](http://d)": '<p>[](<a href="http://d/">http://d</a>) [ ] [x] (y) [a<a href="http://d/">b</a></p>',
    "![x](javascript:alert(1)) !important": "<p>![x](javascript:alert(1)) !important</p>",
    # entities
    "5 &lt; 6 &amp; x&nbsp;y &#8212; &#x2014;": "<p>5 < 6 & x\xa0y — —</p>",
    "&lt;b&gt; &nope; &amp &#0; &#xd800; &#9999999; `&lt;`": "<p><b> &nope; &amp \ufffd \ufffd \ufffd <code>&lt;</code></p>",
    "&#42;a&#42; &constructor; &#x202e;": "<p>*a* &constructor; ⟨U+202E⟩</p>",
    # tables
    "| c | w |\n|---|---|\n| `a \\| b` | x \\| y |": "<div><table><thead><tr><th>c</th><th>w</th></tr></thead>"
    "<tbody><tr><td><code>a | b</code></td><td>x | y</td></tr></tbody></table></div>",
    "a|b\n-|-\n1 | \n|2|3\\|": "<div><table><thead><tr><th>a</th><th>b</th></tr></thead>"
    "<tbody><tr><td>1</td></tr><tr><td>2</td><td>3|</td></tr></tbody></table></div>",
    # indented code, which cannot interrupt a paragraph
    "para\n    __more__": "<p>para\n    <strong>more</strong></p>",
    "para:\n    - a": "<p>para:\n    - a</p>",
    "见https://a.b/c。然后": '<p>见<a href="https://a.b/c">https://a.b/c</a>。然后</p>',
}


def render(texts: list[str], folder: Path) -> list[str]:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed")
    script = folder / "render.mjs"
    script.write_text(RENDER, encoding="utf-8")
    command = [node, str(script), str(PAGES / "views" / "markdown.js"), json.dumps(texts)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    rendered: list[str] = json.loads(result.stdout)
    return rendered


def test_blocks_and_spans(tmp_path: Path) -> None:
    assert dict(zip(CASES, render(list(CASES), tmp_path), strict=True)) == CASES


def test_code_in_a_list_keeps_its_indentation(tmp_path: Path) -> None:
    def indented(columns: int) -> str:
        return "\n".join(" " * columns + line if line else "" for line in ("```py", *CODE.split("\n"), "```"))

    texts = [
        f"1. a\n{indented(3)}\n2. b",
        f"- a\n{indented(2)}\n- b",
        f"1. a\n{indented(2)}",
        f"- a\n  - b\n\n{indented(4)}",
        indented(0),
    ]
    for text, rendered in zip(texts, render(texts, tmp_path), strict=True):
        assert CODE in html.unescape(rendered), text


def test_indented_code_is_not_read_as_markdown(tmp_path: Path) -> None:
    code = "a*b*c = 2\n\n    __init__ # &lt;\n- x\n```"
    indented = "\n".join("    " + line if line else "" for line in code.split("\n"))
    texts = [
        f"para\n\n{indented}\n\nend",
        indented,
        f"# title\n{indented}",
        indented.replace("    ", "\t", 1),
        "- a\n\n" + "\n".join("  " + line for line in indented.split("\n")),
        "> " + indented.replace("\n", "\n> "),
    ]
    for text, rendered in zip(texts, render(texts, tmp_path), strict=True):
        assert f"<pre><code>{code}</code></pre>" in rendered, text
        assert not text.endswith("end") or rendered.endswith("<p>end</p>")


def test_hostile_labels_take_linear_time(tmp_path: Path) -> None:
    texts = [
        "[" * 19_000,
        "![" * 9_000,
        "[a](" * 4_000,
        "[" * 9_000 + "](http://a)" * 900,
        "[" * 900 + "[x](http://a)" + "](http://b)" * 900,
        "&" * 19_000,
        "\\|" * 9_000,
    ]
    assert all(render(texts, tmp_path))
