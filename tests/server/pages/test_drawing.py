"""Answers on the chat page: hostile ones, and ones that grow while the user reads them."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.pages.conftest import open_page
from tests.server.scripted_engine import ScriptedEngine, in_words, scripted_engine
from tests.server.tiny_server import running

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"
INIT_SCRIPT = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
PIECES = json.loads((Path(__file__).parent / "hostile_pieces.json").read_text("utf-8"))
HIDDEN = "\u202e\u2066\u2069\u0001\u001b\u0085\U000e0041"
TAGS = """a b blockquote br button code del div em figcaption figure h3 h4 h5 h6 hr i input ins kbd li mark ol p path pre s
section small span strong sub sup svg table tbody td th thead tr u ul"""
FIND_HARM = """([tags, hidden]) => {
  const problems = [];
  for (const node of document.querySelectorAll("#messages .markdown *")) {
    const isMath = node.namespaceURI === "http://www.w3.org/1998/Math/MathML";
    if (!isMath && !tags.split(/\\s/).includes(node.localName)) problems.push(node.localName);
    for (const { name, value } of node.attributes) {
      if (name.startsWith("on") || ["src", "srcdoc", "id", "name"].includes(name)) problems.push(name);
      if (name === "href" && !/^(https?:\\/\\/|mailto:)/.test(value)) problems.push(value);
      if (name === "style" && /url|@/.test(value)) problems.push(value);
    }
  }
  const { textContent } = document.querySelector("#messages");
  problems.push(...[...hidden].filter((character) => textContent.includes(character)).map(escape));
  return [...problems, ...(window.hurt ? ["a script ran"] : []), ...window.violations];
}"""
SELECT = """([selector, text]) => {
  const texts = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
  while (texts.nextNode() && !texts.currentNode.data.includes(text)) {}
  const start = texts.currentNode.data.indexOf(text);
  getSelection().setBaseAndExtent(texts.currentNode, start, texts.currentNode, start + text.length);
}"""


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running_engine:
        yield running_engine


@pytest.fixture
def url(engine: ScriptedEngine, tmp_path: Path) -> Iterator[str]:
    with running(tmp_path, upstream=engine.url) as server:
        yield server.url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    with open_page(browser, url, width=1200, init_script=INIT_SCRIPT) as page:
        yield page


def import_answers(page: Any, url: str, answers: list[str]) -> None:
    messages = [
        message
        for text in answers
        for message in ({"role": "user", "content": "go on"}, {"role": "assistant", "content": text})
    ]
    response = page.request.post(f"{url}/api/import", data=[{"messages": messages}])
    assert response.ok, response.text()
    page.reload()
    page.locator("#conversations .open").first.click()
    expect(page.locator("#messages > li")).to_have_count(len(messages))


def test_three_hundred_hostile_answers_do_nothing(page: Any, url: str) -> None:
    choose = random.Random(25)
    answers = ["".join(choose.choices(PIECES, k=choose.randint(3, 25))) for _ in range(300)]
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    import_answers(page, url, answers)
    expect(page.locator("#messages math")).not_to_have_count(0)
    expect(page.locator("#messages .code-keyword")).not_to_have_count(0)
    page.wait_for_timeout(1000)  # the rest of mathematics and code
    assert page.evaluate(FIND_HARM, [TAGS, HIDDEN]) == []
    assert [address for address in addresses if not address.startswith((url, "data:image/svg"))] == []


@pytest.mark.parametrize(
    ("answer", "selected"),
    [
        ("first words of **one** paragraph " + "and more " * 60, "first words"),
        ("- an item with *some* words\n- " + "and more " * 60, "an item with "),
        ("$x$ before | a paragraph " + "with $y$ and `code` " * 30, " before | a"),
        ("one\n\ntwo words\n\n" + "and [x] more " * 30 + "\n\n[x]: http://a.example\n\nend", "two words"),
    ],
)
def test_a_selection_stays_while_the_answer_grows(page: Any, engine: ScriptedEngine, answer: str, selected: str) -> None:
    engine.script, engine.seconds_per_piece = lambda body: in_words(answer), 0.01
    page.fill("#input", "go")
    page.press("#input", "Enter")
    body = f"{LAST} .body"
    is_drawn = "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)"
    page.wait_for_function(is_drawn, arg=[body, selected])
    page.evaluate(SELECT, [body, selected])
    expect(page.locator("#messages .live")).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == selected


def test_long_code_is_copied_as_it_is(page: Any, engine: ScriptedEngine) -> None:
    lines = ["" if i % 7 == 3 else f"x{i} = {i}  # c" for i in range(128)]
    code = "\n".join(lines)
    engine.script, engine.seconds_per_piece = lambda body: ["```py\n", *(f"{line}\n" for line in lines), "```"], 0.002
    page.fill("#input", "go")
    page.press("#input", "Enter")
    expect(page.locator(f"{LAST} .code-comment").last).to_be_attached()
    expect(page.locator("#messages .live")).to_have_count(0)
    expect(page.locator(f"{LAST} .code-number")).to_have_count(sum(map(bool, lines)))
    assert page.locator(f"{LAST} code").text_content() == code
    page.evaluate("(selector) => getSelection().selectAllChildren(document.querySelector(selector))", f"{LAST} code")
    assert page.evaluate("getSelection().toString()") == code


def test_mathematics_and_code_are_drawn(page: Any, engine: ScriptedEngine) -> None:
    answer = "$x^2$ and \\[\\frac{a}{b}\\] and $\\frac{a$\n\n```py\ndef f(): return 'x' # c\n```\n\n```unknown\nx\n```"
    engine.script, engine.seconds_per_piece = lambda body: list(answer), 0.0
    page.fill("#input", "go")
    page.press("#input", "Enter")
    expect(page.locator(f"{LAST} msup")).to_have_count(1)
    expect(page.locator(f"{LAST} .display mfrac")).to_have_count(1)
    expect(page.locator(f"{LAST} .math.source")).to_have_text("$\\frac{a$")
    expect(page.locator(f"{LAST} .code-keyword")).to_have_text(["def", "return"])
    expect(page.locator(f"{LAST} .code-string")).to_have_text("'x'")
    assert page.locator(f"{LAST} pre").all_inner_texts() == ["def f(): return 'x' # c", "x"]
    assert page.evaluate("window.violations") == []


def test_work_that_takes_too_long_is_ended(page: Any, engine: ScriptedEngine) -> None:
    hangs = """addEventListener("message", ({ data: { kind } }) => {
      while (kind === "color");
      postMessage({ tag: "math", attributes: {}, style: {}, children: ["drawn"] });
    });"""
    page.route("**/worker.js", lambda route: route.fulfill(body=hangs, content_type="text/javascript"))
    page.clock.install()
    engine.script, engine.seconds_per_piece = lambda body: ["```py\nx = 1\n```\n\n$x$"], 0.0
    page.fill("#input", "go")
    page.press("#input", "Enter")
    expect(page.locator(f"{LAST} .math.source")).to_have_text("$x$")
    page.clock.fast_forward(60_000)
    expect(page.locator(f"{LAST} math")).to_have_text("drawn")
    expect(page.locator(f"{LAST} code")).to_have_text("x = 1")


def test_footnotes_lead_to_their_references_and_back(page: Any, engine: ScriptedEngine) -> None:
    engine.script, engine.seconds_per_piece = lambda body: ["a[^1]\n\n[^1]: note\n\n" + "text\n\n" * 50], 0.0
    page.fill("#input", "go")
    page.press("#input", "Enter")
    page.get_by_role("button", name="[1]").click()
    expect(page.locator(f"{LAST} .notes li")).to_be_focused()
    page.get_by_role("button", name="↩").click()
    expect(page.get_by_role("button", name="[1]")).to_be_focused()
    assert "#c-" in page.url
