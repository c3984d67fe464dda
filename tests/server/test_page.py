"""The chat page in a browser, in front of a real server. The model is tiny and says anything: no test reads what it says."""

from collections.abc import Iterator
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script> [x](javascript:window.hurt=1) \u202etxt.exe'
# Counts what the content security policy stopped. `window.endless` makes answers that only a stop ends.
WATCH = """
window.violations = [];
const violated = ({ violatedDirective, blockedURI }) => window.violations.push(`${violatedDirective} ${blockedURI}`);
document.addEventListener("securitypolicyviolation", violated);
const asked = window.fetch;
window.fetch = (path, options) => {
  if (!window.endless || !String(path).endsWith("/completions")) return asked(path, options);
  const part = new TextEncoder().encode(`data: ${JSON.stringify({ choices: [{ delta: { content: "word " } }] })}\\n\\n`);
  const start = (out) => {
    const ticking = setInterval(() => out.enqueue(part), 5);
    options.signal.addEventListener("abort", () => (clearInterval(ticking), out.error(options.signal.reason)));
  };
  return Promise.resolve(new Response(new ReadableStream({ start })));
};
"""


@pytest.fixture(scope="module")
def browser(served: str) -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def wrong() -> list[str]:
    """What the page's console tells of errors; a test that provokes one clears it."""
    return []


@pytest.fixture
def page(browser: Any, served: str, wrong: list[str]) -> Iterator[Any]:
    """The page, freshly opened; at the end nothing may have gone wrong in it."""
    context = browser.new_context(locale="en-US", viewport={"width": 1200, "height": 800})
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(served)
    expect(page.locator("#model option")).not_to_have_count(0)
    yield page
    assert page.evaluate("window.violations") == []
    assert wrong == []
    context.close()


def send(page: Any, text: str) -> None:
    page.fill("#input", text)
    page.press("#input", "Enter")
    finished(page)


def finished(page: Any) -> None:
    expect(page.locator("#messages > li.last, .pair")).not_to_have_count(0)
    expect(page.locator("#messages .live")).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()


def canned(page: Any, text: str, count: int) -> None:
    """Lets the next answer be `text`, written as inside JSON, so many times over."""
    part = f'data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}\n\n'
    body = part * count + "data: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def versions(page: Any, selector: str) -> Any:
    return page.locator(f"{selector} .switcher > span")


def opened(page: Any, served: str, messages: list[dict[str, str]]) -> None:
    """Brings in a conversation and shows it."""
    answer = page.request.post(f"{served}/api/import", data=[{"messages": messages}])
    assert answer.ok, answer.text()
    page.reload()
    page.locator("#conversations li").first.locator("a, button").first.click()
    expect(page.locator("#messages > li")).to_have_count(len(messages))


def test_what_is_sent_is_answered_and_kept(page: Any) -> None:
    send(page, "first words")
    expect(page.locator(f"{LAST} .stats")).to_contain_text("tokens/s")
    expect(page.locator("#context")).to_be_visible()
    said = page.locator(f"{LAST} .body").inner_text()
    page.reload()
    expect(page.locator("#messages > li.user .body")).to_have_text("first words")
    assert page.locator(f"{LAST} .body").inner_text() == said


def test_stop_keeps_what_arrived(page: Any) -> None:
    page.evaluate("window.endless = true")
    page.fill("#input", "a long story")
    page.press("#input", "Enter")
    expect(page.locator("#messages .live .body")).to_contain_text("word word")
    page.press("#input", "Escape")
    finished(page)
    expect(page.locator(f"{LAST} .note")).to_have_text("Stopped.")
    page.evaluate("window.endless = false")
    page.click(f'{LAST} [data-act="go"]')
    finished(page)
    expect(page.locator(f"{LAST} .body")).to_contain_text("word word")


def test_leaving_the_page_keeps_what_arrived(page: Any) -> None:
    page.evaluate("window.endless = true")
    page.fill("#input", "a long story")
    page.press("#input", "Enter")
    expect(page.locator("#messages .live .body")).to_contain_text("word word")
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_contain_text("word word")
    expect(page.locator(f"{LAST} .note")).to_have_text("Stopped.")


def test_an_answer_with_nul_is_kept(page: Any) -> None:
    canned(page, "a\\u0000b", 1)
    send(page, "one")
    expect(page.locator(f"{LAST} .notice")).to_have_count(0)
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_have_text("a\ufffdb")


def test_regenerating_and_editing_the_question_make_branches(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="again"]')
    finished(page)
    expect(versions(page, LAST)).to_have_text("2/2")
    page.click('#messages > li.user [data-act="edit"]')
    page.fill(".editor textarea", "two")
    page.press(".editor textarea", "Enter")
    finished(page)
    user = "#messages > li.user"
    expect(versions(page, user)).to_have_text("2/2")
    expect(page.locator(f"{user} .body")).to_have_text("two")
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):
        page.click(f'{user} [data-act="previous"]')
    expect(page.locator(f"{user} .body")).to_have_text("one")
    expect(versions(page, LAST)).to_have_text("2/2")
    page.reload()
    expect(page.locator(f"{user} .body")).to_have_text("one")  # the branch that was shown


@pytest.mark.parametrize("goes_on", [False, True])
def test_editing_an_answer_keeps_the_old_wording(page: Any, goes_on: bool) -> None:
    send(page, "one")
    old = page.locator(f"{LAST} .body").inner_text()
    page.click(f'{LAST} [data-act="edit"]')
    page.fill(".editor textarea", "as I would say it")
    page.get_by_role("button", name="Save and continue it" if goes_on else "Save", exact=True).click()
    count = 3 if goes_on else 2  # the wording itself stays beside its continuation
    expect(versions(page, LAST)).to_have_text(f"{count}/{count}")
    finished(page)
    expect(page.locator(f"{LAST} .body")).to_contain_text("as I would say it")
    for _ in range(count - 1):
        page.click(f'{LAST} [data-act="previous"]')
    assert page.locator(f"{LAST} .body").inner_text() == old


def test_two_answers_and_a_preference(page: Any, served: str) -> None:
    page.click("#compare")
    send(page, "one")
    expect(page.locator(".pair li.assistant")).to_have_count(2)
    page.fill(".pair input", "shorter")
    page.locator(".pair .main").nth(1).click()
    expect(page.locator(".pair")).to_have_count(0)
    expect(versions(page, LAST)).to_have_text("2/2")
    kept = page.request.get(f"{served}/api/export").json()["preferences"]
    chosen = page.locator(LAST).get_attribute("data-id")
    assert [one["reason"] for one in kept if one["chosen"] == chosen] == ["shorter"]


def test_a_rating_and_its_reason_are_kept(page: Any, served: str) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="bad"]')
    page.fill("dialog input", "too long")
    page.press("dialog input", "Enter")
    expect(page.locator(f'{LAST} [data-act="bad"]')).to_have_attribute("aria-pressed", "true")
    page.reload()
    bad = page.locator(f'{LAST} [data-act="bad"]')
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(bad).to_have_attribute("aria-label", "Bad answer: too long")


def test_a_token_is_swapped_by_keyboard_and_the_answer_branches(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="tokens"]')
    first = page.locator(f"{LAST} .token").first
    before = first.get_attribute("aria-label")
    first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#alternatives")).to_be_visible()
    page.locator("#alternatives button:enabled").first.click()
    expect(versions(page, LAST)).to_have_text("2/2")
    finished(page)
    assert page.locator(f"{LAST} .token").first.get_attribute("aria-label") != before


def test_the_exact_prompt(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="prompt"]')
    expect(page.locator("dialog pre")).to_contain_text("one")
    expect(page.locator("dialog .piece")).not_to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_enter_in_a_composition_does_not_send(page: Any) -> None:
    page.focus("#input")
    keyboard = page.context.new_cdp_session(page)
    keyboard.send("Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5})
    enter = 'new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true})'
    page.evaluate(f'document.getElementById("input").dispatchEvent({enter})')
    expect(page.locator("#messages > li")).to_have_count(0)
    keyboard.send("Input.insertText", {"text": "你好"})
    expect(page.locator("#input")).to_have_value("你好")
    page.press("#input", "Enter")
    finished(page)
    expect(page.locator("#messages > li.user .body")).to_have_text("你好")


def test_hostile_text_stays_text(page: Any, served: str) -> None:
    opened(page, served, [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}])
    for body in page.locator("#messages .body").all():
        expect(body).to_contain_text('<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>')
        expect(body).to_contain_text("(javascript:window.hurt=1)")
        expect(body.locator("img, script, a")).to_have_count(0)
    assert page.evaluate("window.hurt") is None


def test_an_error_of_the_server_stands_beside_the_message(page: Any, wrong: list[str]) -> None:
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.fill("#input", "one")
    page.press("#input", "Enter")
    expect(page.locator(f"{LAST} .notice")).to_contain_text("cannot be reached")
    page.unroute("**/v1/chat/completions")
    page.click(f'{LAST} [data-act="retry"]')
    expect(page.locator(f"{LAST} .notice")).to_have_count(0)
    finished(page)
    wrong.clear()


def test_chinese_is_a_click_away_and_remembered(page: Any) -> None:
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator("#input")).to_have_attribute("placeholder", "输入消息")
    page.reload()
    expect(page.locator("#new")).to_have_text("新对话")


def test_five_hundred_messages_stay_quick(page: Any, served: str) -> None:
    said = [
        {"role": role, "content": f"**{n}** `words` of a list\n\n- one\n- two"}
        for n in range(250)
        for role in ("user", "assistant")
    ]
    opened(page, served, said)
    page.evaluate("window.first = document.querySelector('#messages > li')")
    page.evaluate("""() => {
      const list = document.getElementById("messages");
      window.changed = new Set();
      const row = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest("#messages > li");
      const note = (changes) => changes.forEach(({ target }) => window.changed.add(row(target)?.dataset.id ?? "list"));
      new MutationObserver(note).observe(list, { childList: true, subtree: true, characterData: true });
    }""")
    took = page.evaluate("""async () => {
      const input = document.getElementById("input");
      const began = performance.now();
      for (let i = 0; i < 20; i += 1) {
        input.value += "x";
        input.dispatchEvent(new InputEvent("input", { bubbles: true }));
        await new Promise(requestAnimationFrame);
      }
      return (performance.now() - began) / 20;
    }""")
    assert took < 500, f"{took:.0f} ms a keystroke"  # 16 ms on an idle machine; the bound is for a busy one
    canned(page, "word ", 200)
    page.fill("#input", "more")
    page.press("#input", "Enter")
    finished(page)
    expect(page.locator("#messages > li")).to_have_count(502)
    # At most the rows at the end were touched: not one per message of the conversation.
    assert page.evaluate("window.changed.size") <= 6
    assert page.evaluate("window.first === document.querySelector('#messages > li')")


def test_on_a_phone_the_sidebar_is_a_drawer(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#open-sidebar")
    expect(page.locator("#new")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator("#new")).not_to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
