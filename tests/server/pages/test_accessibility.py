"""Every view of the chat page by axe, in both languages and themes, as wide as a desk and as narrow as a phone."""

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from tests.server.pages.conftest import new_context, wait_until_ready
from tests.server.pages.test_lens import answering, lens_of

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")
expect = playwright.expect

LAST = "#messages > li.assistant.last"
USER = "#messages > li.user"
WIDTHS = (1280, 390, 320)
THEMES = ("light", "dark")
ANSWER = r"""## Sorting

Quicksort takes $O(n \log n)$ steps *on average*[^1], see <https://example.com/a/very/long/address/that/is/not/broken/anywhere>:

$$\sum_{k=1}^{n} \frac{1}{k} = \ln n + \gamma + \frac{1}{2n} - \frac{1}{12n^2} + \frac{1}{120n^4} - \dots$$

```python
def sort(numbers: list[int]) -> list[int]:  # a line of code that is too long for the width of a telephone, or of two
    return sorted(numbers, key=lambda number: (number % 2 == 0, -number, "text", 3.14))
```

| name | time | space | stable | why one would take it |
|:-----|-----:|:-----:|--------|-----------------------|
| quick | $n \log n$ | $\log n$ | no | it is fast |
| merge | $n \log n$ | $n$ | yes | it keeps the order of equal elements |

- [x] sorted
- [ ] not sorted

> Premature optimization is the root of all evil.

[^1]: The worst case takes $n^2$.
"""
FIND_PROBLEMS = """async (rules) => {
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: { type: "rule", values: rules } }) };
  const { violations } = await axe.run(document, options);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}"""
FIND_WIDE = """() => {
  const frames = "html, #scroll, #sidebar, #panel, #composer, #top, dialog, dialog *, #alternatives";
  const nodes = [...document.querySelectorAll(frames)].filter((node) => !node.closest("pre, table, math"));
  const scrolls = (node) => ["html", "dialog"].includes(node.localName) || getComputedStyle(node).overflowX !== "visible";
  const wide = nodes.filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1 && scrolls(node));
  return wide.map((node) => `${node.localName}#${node.id}.${node.className}: ${node.scrollWidth} > ${node.clientWidth}`);
}"""


def check(page: Any, view: str, open_view: Callable[[], None] = lambda: None) -> None:
    """Demand that axe finds nothing, and that nothing but code, tables, and formulas scrolls to the side.

    `open_view` is called for each width, for a view that is closed when the width changes.
    """
    problems: list[str] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        open_view()
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            rules = None if theme == THEMES[0] else ["color-contrast"]
            problems += [f"{view}, {width} px, {theme}: {problem}" for problem in page.evaluate(FIND_PROBLEMS, rules)]
        problems += [f"{view}, {width} px: {problem}" for problem in page.evaluate(FIND_WIDE)]
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module", params=["en-US", "zh-CN"])
def page(browser: Any, server_url: str, request: Any) -> Iterator[Any]:
    """The page, whose server has a model and an adapter of it."""
    with new_context(browser, locale=request.param, width=WIDTHS[0]) as context:
        page = context.new_page()

        def add_adapter(route: Any) -> None:
            info = route.fetch().json()
            model = info["models"][0]
            models = [model, {**model, "id": "tuned", "adapter_of": model["id"]}]
            route.fulfill(json={**info, "models": models, "reports": True})

        page.route("**/api/info", add_adapter)
        page.route("**/v1/chat/completions", ask_the_only_model)
        page.goto(server_url)
        wait_until_ready(page)
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        yield page


def ask_the_only_model(route: Any) -> None:
    route.continue_(post_data=json.dumps(json.loads(route.request.post_data) | {"model": "tiny", "max_tokens": 12}))


def answer_with(deltas: list[dict[str, str]]) -> Callable[[Any], None]:
    events = [f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n" for delta in deltas]
    body = "".join([*events, "data: [DONE]\n\n"])
    return lambda route: route.fulfill(body=body, content_type="text/event-stream")


def send(page: Any, text: str, answers: int = 1) -> None:
    page.fill("#input", text)
    page.press("#input", "Enter")
    expect(page.locator("#messages .assistant")).to_have_count(answers)
    expect(page.locator("#messages .live")).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()


def start_chat(page: Any, text: str) -> None:
    page.click("#new")
    send(page, text)


def test_empty_page(page: Any) -> None:
    expect(page.locator(".examples button")).not_to_have_count(0)
    check(page, "empty page")


def open_drawer(page: Any, name: str) -> None:
    if not page.locator(f"#{name}").is_visible():
        page.click(f"#open-{name}")
    expect(page.locator(f"#{name}")).to_be_in_viewport(ratio=0.9)


def test_drawers(page: Any) -> None:
    check(page, "list of chats", lambda: open_drawer(page, "sidebar"))
    open_drawer(page, "panel")
    page.locator("#fields summary").first.click()
    check(page, "settings", lambda: open_drawer(page, "panel"))


def test_attached_files(page: Any) -> None:
    page.set_input_files(
        "#attachment", {"name": "notes-of-a-very-long-day.txt", "mimeType": "text/plain", "buffer": b"word " * 2000}
    )
    expect(page.locator("#files .warning")).to_be_visible()
    page.set_input_files("#attachment", {"name": "picture.png", "mimeType": "image/png", "buffer": b"\x89PNG\0"})
    expect(page.locator("#toasts > *")).not_to_have_count(0)
    check(page, "attached files and a message")
    page.locator("#files button").first.click()


def test_rich_answer(page: Any) -> None:
    mock = answer_with([{"reasoning_content": "I think of `sorted`.\n\n- one\n- two"}, {"content": ANSWER}])
    page.route("**/v1/chat/completions", mock)
    start_chat(page, "How do I sort?")
    page.unroute("**/v1/chat/completions", mock)
    page.click(f"{LAST} .thoughts summary")
    expect(page.locator(f"{LAST} .code-keyword")).not_to_have_count(0)
    expect(page.locator(f"{LAST} math")).not_to_have_count(0)
    check(page, "answer")
    page.click(f'{LAST} [data-act="edit"]')
    expect(page.locator(".editor textarea")).to_be_visible()
    check(page, "editor")
    page.press(".editor textarea", "Escape")


def test_tokens(page: Any) -> None:
    start_chat(page, "one")
    page.click(f'{LAST} [data-act="bad"]')
    check(page, "reason")
    page.press(".reason-form input", "Escape")
    page.click(f'{LAST} [data-act="tokens"]')
    check(page, "tokens")

    def open_alternatives() -> None:
        page.evaluate("document.getElementById('alternatives').hidePopover()")
        page.locator(f"{LAST} .token").first.press("Enter")
        expect(page.locator("#alternatives")).to_be_visible()

    check(page, "alternatives", open_alternatives)

    def open_lens() -> None:
        open_alternatives()
        page.click("#alternatives .lens button")
        page.click('#alternatives .lens [data-kind="all"]')

    page.route("**/v1/lens", answering(lens_of(30, ("logit", "jacobian"), hidden=1)))
    check(page, "lens", open_lens)
    page.unroute("**/v1/lens")
    page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "opener", [f'{LAST} [data-act="prompt"]', f'{LAST} [data-act="report"]', "#feedback", "#help", "#export"]
)
def test_dialogs(page: Any, opener: str) -> None:
    page.click(opener)
    expect(page.locator("dialog")).to_be_visible()
    check(page, opener)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_failed_answer(page: Any) -> None:
    page.route("**/v1/chat/completions", lambda route: route.abort(), times=1)
    start_chat(page, "one")
    expect(page.locator(f"{LAST} .notice")).to_be_visible()
    check(page, "failed answer")


@pytest.mark.parametrize("blind", [False, True])
def test_pair(page: Any, blind: bool) -> None:
    page.click("#new")
    if not blind:
        page.click("#compare")
    page.set_checked("#blind", blind)
    send(page, "one", answers=2)
    expect(page.locator(".pair .main").first).to_be_enabled()
    check(page, "blind pair" if blind else "pair")
